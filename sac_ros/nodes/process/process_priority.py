"""Standing behind other processes for the processor."""

import contextlib
import os
from pathlib import Path

# Linux shares the processor among sessions first, where autogroups are on, and heeds the niceness
# of a process only within its own: a learner that is alone in its session would give way to nobody.
_AUTOGROUP = Path("/proc/self/autogroup")


def lower_priority(niceness: int) -> None:
    """Let this process stand so far, 0 to 19, behind others, in its session and outside of it."""
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a kernel without autogroups
            _AUTOGROUP.write_text(str(niceness))
