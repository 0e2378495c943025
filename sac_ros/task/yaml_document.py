"""YAML files into plain values, refusing everything that YAML would decide silently.

A second `high:` in a task file must not replace the first, `010` must not become 8, and a file that
is damaged or hostile must end in one line that names the file and the line.
"""

import math
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Final

import yaml

from sac_ros.errors import InputError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 100_000
"""Values in one file, each alias counted as often as it is used."""
MAX_DIGITS: Final = 40
LARGEST_WHOLE_NUMBER: Final = 2**63 - 1
_WHOLE_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0b[01]+)")
_CORE = "tag:yaml.org,2002:"


class ConfigError(InputError):
    """A configuration file or mapping is not usable; one line for each problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class LocatedMapping(dict[str, object]):
    """A mapping of a YAML file that knows on which line each key stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class LocatedList(list[object]):
    """A list of a YAML file that knows on which line each entry stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


def line_of(container: object, key: Hashable | int) -> int | None:
    """Return the line of a key or entry; None if the container was not read from a file."""
    if isinstance(container, LocatedMapping):
        return container.lines.get(str(key))
    if isinstance(container, LocatedList) and isinstance(key, int):
        return container.lines[key]
    return None


def read_mapping(path: Path) -> Mapping[str, object]:
    """Return the top-level mapping of one YAML file; raise ConfigError with file and line."""
    content = parse_yaml(_read_text(path), str(path))
    if not isinstance(content, LocatedMapping):
        found = "nothing" if content is None else f"a {type(content).__name__.lower()}"
        found = found.replace("locatedlist", "list")
        raise ConfigError(f"{path} holds {found}, expected a mapping of keys to values")
    return content


def parse_yaml(text: str, source: str) -> object:
    """Return the value of a YAML text; `source` starts every message of a ConfigError."""
    loader = None
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
        return None if node is None else _Construction(source).value(node, 0)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refusal(source, line, f"character {error.character!r} is not allowed") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        advice = "; indent with spaces" if "'\\t'" in said else ""
        line_of_mark = None if mark is None else mark.line + 1
        raise _refusal(source, line_of_mark, f"not valid YAML: {said}{advice}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets these escape for some escape sequences and directives.
        line = 1 if loader is None else loader.line + 1
        raise _refusal(source, line, f"not valid YAML: {error}") from error


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes; this is no configuration file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refusal(str(path), line, "not UTF-8 text; save the file as UTF-8") from error


def _refusal(source: str, line: int | None, problem: str) -> ConfigError:
    at = "" if line is None else f", line {line}"
    return ConfigError(f"{source}{at}: {' '.join(problem.split())}")


class _BoundedLoader(yaml.SafeLoader):
    """Composes nodes to a limited depth: PyYAML recurses, and Python's stack is finite."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node; raise a MarkedYAMLError below MAX_DEPTH."""
        if self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=self.get_mark()
            )
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Construction:
    """Makes values of nodes: only mappings, lists, text, numbers, true, false and null."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._num_values = 0

    def value(self, node: yaml.Node, depth: int) -> object:
        """Return the value of one node."""
        self._num_values += 1
        if depth > MAX_DEPTH:
            raise self._refuse(node, f"nested more than {MAX_DEPTH} levels deep by its aliases")
        if self._num_values > MAX_VALUES:
            raise self._refuse(node, f"more than {MAX_VALUES} values")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_CORE}map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_CORE}seq":
            entries = LocatedList()
            for item in node.value:
                entries.append(self.value(item, depth + 1))
                entries.lines.append(item.start_mark.line + 1)
            return entries
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._refuse(node, f"the tag {node.tag!r} is not supported; drop it")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> LocatedMapping:
        mapping, merged = LocatedMapping(), LocatedMapping()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_CORE}merge":
                self._merge(key_node, value_node, merged, depth)
                continue
            key = self._key(key_node)
            if key in mapping:
                first = mapping.lines[key]
                raise self._refuse(
                    key_node, f"key {_short(key)} a second time, first on line {first}; drop one"
                )
            mapping[key] = self.value(value_node, depth + 1)
            mapping.lines[key] = line
        # As YAML defines `<<`: a key written here replaces the merged one.
        for key in [key for key in merged if key not in mapping]:
            mapping[key], mapping.lines[key] = merged[key], merged.lines[key]
        return mapping

    def _merge(self, key: yaml.Node, node: yaml.Node, merged: LocatedMapping, depth: int) -> None:
        """Add the mappings that `<<` names; two that share a key contradict each other."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(part, yaml.MappingNode):
                raise self._refuse(key, "'<<' needs a mapping, or a list of mappings")
            mapping = self.value(part, depth + 1)
            assert isinstance(mapping, LocatedMapping)
            for name in mapping:
                if name in merged:
                    raise self._refuse(key, f"'<<' brings the key {_short(name)} twice; drop one")
                merged[name], merged.lines[name] = mapping[name], mapping.lines[name]

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._refuse(node, "a list or mapping as a key; keys are text")
        value = self._scalar(node)
        if not isinstance(value, str):
            raise self._refuse(
                node, f"YAML reads the key {_short(node.value)} as {value!r}; put it in quotes"
            )
        return value

    def _scalar(self, node: yaml.ScalarNode) -> str | bool | int | float | None:
        kind, text = node.tag.removeprefix(_CORE), str(node.value)
        if kind in ("str", "timestamp", "value", "merge"):
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in yaml.SafeLoader.bool_values:
            return bool(yaml.SafeLoader.bool_values[text.lower()])
        if kind in ("int", "float") and len(text) > MAX_DIGITS:
            raise self._refuse(node, f"a number of {len(text)} characters, at most {MAX_DIGITS}")
        if kind == "int" and _WHOLE_NUMBER.fullmatch(text.replace("_", "")):
            number = int(text.replace("_", ""), 0)
            if abs(number) > LARGEST_WHOLE_NUMBER:
                raise self._refuse(node, f"{text} is too large for a number")
            return number
        if kind == "int":
            raise self._refuse(
                node, f"{text} is octal or base 60 to YAML; write a decimal number, or quote it"
            )
        if kind == "float":
            return self._float(node, text.replace("_", "").lower())
        raise self._refuse(node, f"the tag {node.tag!r} is not supported; drop it")

    def _float(self, node: yaml.ScalarNode, text: str) -> float:
        special = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
        if text in special:
            return special[text]
        try:
            number = float(text)
        except ValueError:
            raise self._refuse(node, f"{_short(text)} is no decimal number") from None
        if not math.isfinite(number):
            raise self._refuse(node, f"{text} is too large for a number")
        return number

    def _refuse(self, node: yaml.Node, problem: str) -> ConfigError:
        return _refusal(self._source, node.start_mark.line + 1, problem)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
