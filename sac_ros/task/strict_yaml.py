"""YAML into frozen dataclasses: unknown keys, missing keys and wrong types are refused by name."""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from sac_ros.errors import InputError

T = TypeVar("T")


class ConfigError(InputError):
    """A configuration file or mapping does not say what its reader needs."""


def read_yaml(path: Path, cls: type[T]) -> T:
    """Read one YAML file into the dataclass `cls`; raise ConfigError with file and key."""
    return parse_mapping(read_mapping(path), cls, str(path))


def read_mapping(path: Path) -> Mapping[str, object]:
    """Return the top-level mapping of one YAML file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds {_describe(content)}, expected a mapping of keys to values"
        )
    return cast(Mapping[str, object], content)


def parse_mapping(mapping: object, cls: type[T], where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where` (file, then keys) starts every message.

    Nested dataclasses, tuples, mappings, `Literal` choices and `X | None` are followed by their
    annotations. A `ValueError` from `__post_init__` becomes a ConfigError that says where.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: found {_describe(mapping)}, expected a mapping")
    fields = {field.name: field for field in dataclasses.fields(cast(type, cls)) if field.init}
    unknown = [key for key in mapping if key not in fields]
    if unknown:
        raise ConfigError(f"{where}: unknown keys {unknown}; {_suggest(unknown, list(fields))}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing keys {missing}; add them")
    hints = get_type_hints(cls)
    values = {key: _convert(value, hints[key], f"{where}: {key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


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


def _convert(value: object, hint: object, where: str) -> object:
    """Check one value against its annotation and return it, converted where YAML has no type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {_describe(value)}, expected one of {list(arguments)}")
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {_describe(value)}, expected a mapping")
        return {key: _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse_mapping(value, cast(type[object], hint), where)
    return _convert_scalar(value, hint, where)


def _convert_union(value: object, choices: tuple[object, ...], where: str) -> object:
    if value is None and type(None) in choices:
        return None
    concrete = [choice for choice in choices if choice is not type(None)]
    refusal = ConfigError(f"{where} is {_describe(value)}")
    for choice in concrete:
        try:
            return _convert(value, choice, where)
        except ConfigError as error:
            refusal = error
    raise refusal


def _convert_tuple(value: object, arguments: tuple[object, ...], where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} is {_describe(value)}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        hints: list[object] = [arguments[0]] * len(value)
    else:
        hints = list(arguments)
    if len(value) != len(hints):
        raise ConfigError(f"{where} has {len(value)} entries, expected {len(hints)}")
    return tuple(
        _convert(item, hint, f"{where}[{index}]")
        for index, (item, hint) in enumerate(zip(value, hints, strict=True))
    )


def _convert_scalar(value: object, hint: object, where: str) -> object:
    # bool is an int in Python; `terminated: 1` and `steps: true` are mistakes all the same.
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (str, bool) and type(value) is hint:
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{where} is {_describe(value)}, expected {expected}{_number_advice(value)}")


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
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


def _suggest(unknown: list[str], known: list[str]) -> str:
    close = {match for key in unknown for match in difflib.get_close_matches(str(key), known, n=1)}
    return f"did you mean {sorted(close)}?" if close else f"known keys are {sorted(known)}"
