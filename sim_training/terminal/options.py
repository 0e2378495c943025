"""Parse command-line options into a dataclass: fields are options, docstrings are the help."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

from sac_ros.errors import InputError

T = TypeVar("T")
# tyro's messages contain our class names, which do not help the user; they are removed.
_PARSED_CLASS = re.compile(r"Error parsing (?:(?=[^:]*[a-z])[\w.]+: )?")


class OptionError(InputError):
    """An option is unknown, has no value, or has an invalid value."""


def parse_options(
    cls: type[T], argv: Sequence[str], *, prog: str, description: str, default: T | None = None
) -> T:
    """Build `cls` from a command line; options that are not given keep the value of `default`.

    Prints the help and exits for `--help`; raises OptionError, with a message of one line.
    """
    tyro_errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(tyro_errors):
            if default is None:
                return tyro.cli(cls, args=argv, prog=prog, description=description)
            return tyro.cli(cls, args=argv, prog=prog, description=description, default=default)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise OptionError(_one_line(tyro_errors.getvalue(), prog)) from error
    except ValueError as error:  # from __post_init__; tyro catches only those of nested classes
        raise OptionError(f"{error}; {prog} --help lists every option") from error


def split_at_double_dash(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line at the first `--`; the options after it are for another command."""
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _one_line(tyro_errors: str, prog: str) -> str:
    """Extract the sentences from tyro's error box, without the help text that it repeats."""
    parts: list[list[str]] = [[]]
    for line in tyro_errors.splitlines():
        text = line.strip("│ ")
        if text.startswith(("Argument helptext", "For full helptext")):
            break
        if _is_rule(text):
            parts.append([])
        elif text:
            parts[-1].append(text)
    # Before the first rule there is nothing, or, on ASCII terminals, the title of the box.
    sentences = [_PARSED_CLASS.sub("", " ".join(part), count=1) for part in parts[1:] if part]
    return "; ".join([*sentences, f"{prog} --help lists every option"])


def _is_rule(text: str) -> bool:
    return text.startswith(("╭", "╰")) or (len(text) > 2 and set(text) <= {"─", "-"})
