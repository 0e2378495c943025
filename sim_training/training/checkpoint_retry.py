"""Read a checkpoint that a running training may replace at the same time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sac_ros.sac.checkpoints.checkpoint_manifest import CheckpointError

T = TypeVar("T")
READ_ATTEMPTS = 5
READ_PAUSE_S = 0.5


def read_with_retry(read: Callable[[Path], T], checkpoint: Path) -> T:
    """Return `read(checkpoint)`; try again if the checkpoint was replaced while it was read.

    Raises CheckpointError after the last attempt.
    """
    for attempt in range(READ_ATTEMPTS):
        try:
            return read(checkpoint)
        except CheckpointError:
            if attempt == READ_ATTEMPTS - 1:
                raise
            time.sleep(READ_PAUSE_S)
    raise AssertionError("the last attempt returns or raises")
