"""What the doctor found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at, and how it was."""

    check: str
    """What was looked at, such as `rate`."""
    subject: str
    """Of what: a channel, a joint, a topic, the policy."""
    level: Level
    """error: the policy must not run so. warning: it may, but somebody should have looked."""
    found: str
    advice: str = ""
    """What to change; empty for `ok`."""
