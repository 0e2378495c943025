"""Mappings into frozen dataclasses: unknown keys, missing keys and wrong types are refused by name.

Everything wrong with a file is collected and refused at once, one line for each problem.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from sac_ros.task.yaml_document import ConfigError, line_of, read_mapping

__all__ = ["ConfigError", "Infinite", "parse_mapping", "read_mapping", "read_yaml", "to_mapping"]

T = TypeVar("T")
_INFINITE = "infinite"
Infinite = Annotated[float, _INFINITE]
"""A number for which `.inf` means that there is no bound; every other number must be finite."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value stands: file, line if it was read from one, and the keys that lead to it."""

    source: str
    keys: str = ""
    line: int | None = None

    def __str__(self) -> str:
        parts = [self.source if self.line is None else f"{self.source}, line {self.line}"]
        return ": ".join([*parts, self.keys] if self.keys else parts)

    def child(self, container: object, key: str | int, separator: str = ": ") -> "_Place":
        """Return the place of an entry of this value."""
        step = f"[{key}]" if isinstance(key, int) else f"{separator if self.keys else ''}{key}"
        return _Place(self.source, self.keys + step, line_of(container, key) or self.line)


def _collect(attempts: Iterable[Callable[[], object]], problems: list[str]) -> list[object]:
    """Return the result of each attempt; add the problems of those that fail."""
    results: list[object] = []
    for attempt in attempts:
        try:
            results.append(attempt())
        except ConfigError as error:
            problems += error.problems
    return results


def read_yaml(path: Path, cls: type[T]) -> T:
    """Read one YAML file into the dataclass `cls`; raise ConfigError with file, line and key."""
    return parse_mapping(read_mapping(path), cls, str(path))


def parse_mapping(mapping: object, cls: type[T], where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where`, such as a file, starts every message.

    Nested dataclasses, tuples, mappings, `Literal` choices and `X | None` are followed by their
    annotations. A `ValueError` from `__post_init__` becomes a ConfigError that says where.
    """
    return _parse(mapping, cls, _Place(where))


def to_mapping(value: object) -> object:
    """Return dataclasses as plain dicts and tuples as lists, ready for YAML or JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_mapping(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
    if isinstance(value, Mapping):
        return {key: to_mapping(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_mapping(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _parse(mapping: object, cls: type[T], place: _Place) -> T:
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{place}: found {_describe(mapping)}, expected a mapping")
    fields = {field.name: field for field in dataclasses.fields(cast(type, cls)) if field.init}
    problems: list[str] = []
    unknown = [key for key in mapping if key not in fields]
    if unknown:
        at = dataclasses.replace(place, line=line_of(mapping, unknown[0]) or place.line)
        problems.append(f"{at}: unknown keys {unknown}; {_suggest(unknown, list(fields))}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        problems.append(f"{place}: missing keys {missing}; add them")
    hints = get_type_hints(cls, include_extras=True)
    known = [key for key in mapping if key in fields]
    values = _collect(
        (partial(_convert, mapping[k], hints[k], place.child(mapping, k)) for k in known), problems
    )
    if problems:
        raise ConfigError(*problems)
    try:
        return cls(**dict(zip(known, values, strict=True)))
    except ValueError as error:
        raise ConfigError(*(f"{place}: {line}" for line in str(error).splitlines())) from error


def _convert(value: object, hint: object, place: _Place) -> object:
    """Check one value against its annotation and return it, converted where YAML has no type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated and hint is not Infinite:
        return _convert(value, arguments[0], place)  # the notes of others, such as tyro's
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, place)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{place} is {_describe(value)}, expected one of {list(arguments)}")
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments, place)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{place} is {_describe(value)}, expected a mapping")
        problems: list[str] = []
        entries = (
            partial(_convert, v, arguments[1], place.child(value, k, ".")) for k, v in value.items()
        )
        values = _collect(entries, problems)
        if problems:
            raise ConfigError(*problems)
        return dict(zip(value, values, strict=True))
    if dataclasses.is_dataclass(hint):
        return _parse(value, cast(type[object], hint), place)
    if hint is Infinite:
        return _convert_scalar(value, float, place)
    number = _convert_scalar(value, hint, place)
    # Programs write NaN into documents of their own; in a person's file it disables a check.
    if place.line is not None and isinstance(number, float) and not math.isfinite(number):
        raise ConfigError(f"{place} is {number}, expected a finite number")
    return number


def _convert_union(value: object, choices: tuple[object, ...], place: _Place) -> object:
    if value is None and type(None) in choices:
        return None
    refusal = ConfigError(f"{place} is {_describe(value)}")
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _convert(value, choice, place)
        except ConfigError as error:
            refusal = error
    raise refusal


def _convert_tuple(
    value: object, arguments: tuple[object, ...], place: _Place
) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{place} is {_describe(value)}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        hints: list[object] = [arguments[0]] * len(value)
    else:
        hints = list(arguments)
    if len(value) != len(hints):
        raise ConfigError(f"{place} has {len(value)} entries, expected {len(hints)}")
    problems: list[str] = []
    entries = _collect(
        (
            partial(_convert, item, hint, place.child(value, index))
            for index, (item, hint) in enumerate(zip(value, hints, strict=True))
        ),
        problems,
    )
    if problems:
        raise ConfigError(*problems)
    return tuple(entries)


def _convert_scalar(value: object, hint: object, place: _Place) -> object:
    # bool is an int in Python; `terminated: 1` and `steps: true` are mistakes all the same.
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _as_float(value, place)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (str, bool) and type(value) is hint:
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{place} is {_describe(value)}, expected {expected}{_number_advice(value)}")


def _as_float(value: int | float, place: _Place) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{place} is too large for a number: {_describe(value)}") from None


def _number_advice(value: object) -> str:
    """Explain PyYAML's reading of 3e-4 as a string."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    written = f"{number:e}" if number else "0.0"
    mantissa, _, exponent = written.partition("e")
    short = f"{float(mantissa)}e{int(exponent):+d}" if exponent else written
    return f"; YAML reads an exponent without a decimal point and a sign as text: write {short}"


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    kind = {"LocatedMapping": "dict", "LocatedList": "list"}.get(type(value).__name__)
    text = repr(value)
    return f"{kind or type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


def _suggest(unknown: list[str], known: list[str]) -> str:
    close = {match for key in unknown for match in difflib.get_close_matches(str(key), known, n=1)}
    return f"did you mean {sorted(close)}?" if close else f"known keys are {sorted(known)}"
