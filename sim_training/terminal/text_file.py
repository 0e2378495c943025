"""A text file that a reader, or a crash, finds old or new but never half written."""

import os
import secrets
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Give a file this content in one step; on a full disk it keeps what it had."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        with draft.open("x", newline="", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
