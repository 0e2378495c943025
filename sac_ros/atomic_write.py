"""Write files so that neither a crash, a power cut nor a full disk leaves one half written."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sac_ros.errors import InputError

DRAFT_SUFFIX = ".draft"


def replace_file(path: Path, content: bytes) -> None:
    """Give a file this content in one step; raise OSError and leave it as it was if that fails.

    Readers find the old content or the new one, also after `kill -9` or a power cut.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT_SUFFIX}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    # The new name lives in the folder; without this, a power cut may bring the old file back.
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Give a file this text as UTF-8, line ends unchanged, as `replace_file` does."""
    replace_file(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


@contextlib.contextmanager
def disk_errors_as(kind: type[InputError], where: Path | str) -> Iterator[None]:
    """Turn an OSError raised while writing to `where` into `kind`, with advice."""
    try:
        yield
    except OSError as error:
        raise kind(
            f"cannot write to {where} ({error.strerror}); make room or permission there"
        ) from error
