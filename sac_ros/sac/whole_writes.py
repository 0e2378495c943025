"""Writing that a full disk cannot leave half done."""

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO


def append_whole(file: BinaryIO, data: bytes) -> None:
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


def replace_whole(path: Path, data: bytes) -> None:
    """Let a file hold this data, or leave it as it was and raise OSError."""
    draft = path.with_suffix(".part")
    draft.write_bytes(data)
    draft.replace(path)
