"""Writing that a full disk cannot leave half done, and what is said when it tried."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sac_ros.errors import InputError


def append_or_undo(file: BinaryIO, data: bytes) -> None:
    """Append all of the data to an unbuffered file, or leave it as it was and raise OSError."""
    start = file.seek(0, os.SEEK_END)
    try:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(start)
            file.seek(start)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Let a file hold this data, or leave it as it was and raise OSError."""
    draft = path.with_suffix(".part")
    draft.write_bytes(data)
    draft.replace(path)


@contextlib.contextmanager
def disk_errors_as(kind: type[InputError], where: Path | str) -> Iterator[None]:
    """Raise errors of this kind, with what can be done, where writing there raises OSError."""
    try:
        yield
    except OSError as error:
        raise kind(
            f"cannot write to {where} ({error.strerror}); make room or permission there"
        ) from error
