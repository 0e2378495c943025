"""The keys of a task file, from the dataclasses of sac_ros/task, with examples from real files."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from markdown_table import code, table
from source_reader import DocumentationError, Field, choices, fields, module_tree, root

TASK_SPEC = "sac_ros.task.task_spec"


@dataclass(frozen=True)
class Block:
    """A part of a task file, and the dataclass that reads it."""

    title: str
    path: tuple[str, ...]
    """Keys from the top of the file to a mapping, or a list of mappings, of this kind."""
    module: str
    cls: str


BLOCKS = (
    Block("Top level", (), TASK_SPEC, "TaskSpec"),
    Block("`simulator`", ("simulator",), TASK_SPEC, "Simulator"),
    Block("An entry of `observation`", ("observation",), TASK_SPEC, "Channel"),
    Block("`action`", ("action",), "sac_ros.task.action_spec", "ActionSpec"),
    Block(
        "An entry of `action.joint_limits`",
        ("action", "joint_limits"),
        "sac_ros.task.joint_limit",
        "JointLimit",
    ),
    Block("An entry of `reward`", ("reward",), TASK_SPEC, "RewardTerm"),
    Block("An entry of `termination`", ("termination",), TASK_SPEC, "TerminationTerm"),
)
NUMBERS = re.compile(r"\b(int|float)\b")


def task_file_reference() -> str:
    """Return a table of keys for each block of a task file."""
    return "\n".join(f"## {block.title}\n\n{_block_table(block)}" for block in BLOCKS)


def readable_fields() -> str:
    """Return which fields of which messages a reading may take."""
    tree = module_tree("sac_ros.task.message_fields")
    sizes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FIELD_SIZES"
    )
    rows = [
        (code(message), code(field), str(size or f"as many as `{_length_key(message)}` says"))
        for message, known in sizes.items()
        for field, size in known.items()
    ]
    return table(("type", "field", "entries"), rows)


def _length_key(message: str) -> str:
    return "joints" if message.endswith("JointState") else "size"


def example_files() -> list[Path]:
    """Return the task files that examples come from: the documented, then the shipped ones."""
    return [
        *sorted((root() / "docs" / "reference" / "examples").glob("*.yaml")),
        *sorted((root() / "config" / "tasks").glob("*.yaml")),
    ]


def _block_table(block: Block) -> str:
    rows = []
    for field in fields(block.module, block.cls):
        _require_documented(block, field)
        default = "**required**" if field.default is None else _yaml_words(field.default)
        rows.append(
            (
                code(field.name),
                _type(field.module, field.type),
                field.unit,
                default,
                f"{field.meaning}{_shown(_example(block, field.name))}",
            )
        )
    return table(("key", "type", "unit", "default", "meaning and example"), rows)


def _shown(example: str) -> str:
    return f"<br>{code(example)}" if example else ""


def _require_documented(block: Block, field: Field) -> None:
    where = f"{block.module}.{block.cls}.{field.name}"
    if not field.meaning:
        raise DocumentationError(f"{where} has no docstring; say what it means")
    if NUMBERS.search(field.type) and not field.unit:
        raise DocumentationError(
            f"{where} is a number without a unit; put it in brackets, as in [s]"
        )


def _type(module: str, annotation: str) -> str:
    """Return a Python annotation in the words of YAML."""
    text = annotation.replace(" | None", "")
    literal = choices(module, text) or text
    if literal.startswith("Literal[") and "/msg/" in literal:
        return "message type"  # listed below the tables
    if literal.startswith("Literal["):
        return "one of " + ", ".join(code(str(value)) for value in ast.literal_eval(literal[7:]))
    if text.startswith("tuple[") and text.endswith(", ...]"):
        item = text[len("tuple[") : -len(", ...]")]
        return f"list of {_type(module, item)}" if item in _SCALARS else f"list of {_plural(item)}"
    if text == "tuple[float, float]":
        return "list of 2 float"
    return _SCALARS.get(text, "mapping")


_SCALARS = {"str": "text", "int": "int", "float": "float", "bool": "bool"}


def _plural(item: str) -> str:
    return "lists of float" if item.startswith("tuple[") else "mappings"


def _yaml_words(default: str) -> str:
    if default.startswith("_"):
        return "depends"  # a stand-in; the docstring says on what
    return code({"None": "null", "()": "[]", "''": '""'}.get(default, default.replace("'", "")))


def _example(block: Block, key: str) -> str:
    """Return the first value of a key in the example files, as one line of YAML."""
    for path in example_files():
        for mapping in _mappings(yaml.safe_load(path.read_text("utf-8")), block.path):
            if key in mapping:
                value = mapping[key]
                if _is_nested(value):
                    return ""  # a block of its own, below
                return yaml.safe_dump({key: value}, default_flow_style=True, width=10_000)[1:-2]
    raise DocumentationError(f"no example file sets {'.'.join((*block.path, key))}; add it to one")


def _is_nested(value: object) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict)


def _mappings(value: object, path: tuple[str, ...]) -> Iterator[Mapping[str, object]]:
    """Yield every mapping that the path leads to, through lists."""
    if isinstance(value, list):
        for item in value:
            yield from _mappings(item, path)
    elif isinstance(value, Mapping):
        if not path:
            yield value
        elif path[0] in value:
            yield from _mappings(value[path[0]], path[1:])
