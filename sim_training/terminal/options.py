"""Options from a dataclass: its fields are the options, their docstrings are the help."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

from sac_ros.errors import InputError

T = TypeVar("T")
# What was typed helps, --seed or POLICY; the name of our class or field behind it does not.
_PARSED_CLASS = re.compile(r"Error parsing (?:(?=[^:]*[a-z])[\w.]+: )?")


class OptionError(InputError):
    """An option is unknown, lacks its value, or its value cannot be used."""


def parse_options(
    cls: type[T], argv: Sequence[str], *, prog: str, description: str, default: T | None = None
) -> T:
    """Build `cls` from a command line; options that are not given keep the value of `default`.

    Prints the help and exits for `--help`; raises OptionError, in one line, for anything wrong.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            if default is None:
                return tyro.cli(cls, args=argv, prog=prog, description=description)
            return tyro.cli(cls, args=argv, prog=prog, description=description, default=default)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise OptionError(_one_line(complaint.getvalue(), prog)) from error
    except ValueError as error:  # from a __post_init__: tyro catches only those of nested classes
        raise OptionError(f"{error}; {prog} --help lists every option") from error


def split_at_double_dash(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what stands before the first `--`, and what stands after it for another command."""
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _one_line(complaint: str, prog: str) -> str:
    """Take the sentences out of tyro's box, up to the help text that it repeats."""
    parts: list[list[str]] = [[]]
    for line in complaint.splitlines():
        text = line.strip("│ ")
        if text.startswith(("Argument helptext", "For full helptext")):
            break
        if _is_rule(text):
            parts.append([])
        elif text:
            parts[-1].append(text)
    # Above the first rule stands nothing, or where the terminal has but ASCII, the box's title.
    sentences = [_PARSED_CLASS.sub("", " ".join(part), count=1) for part in parts[1:] if part]
    return "; ".join([*sentences, f"{prog} --help lists every option"])


def _is_rule(text: str) -> bool:
    return text.startswith(("╭", "╰")) or (len(text) > 2 and set(text) <= {"─", "-"})
