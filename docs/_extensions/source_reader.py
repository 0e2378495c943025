"""Read dataclasses from the source with ast, so that the documentation needs no torch and no ROS.

A field's docstring is the string that stands below it; Python drops it at run time.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

UNIT = re.compile(r"\s*\[([^\]]+)\]")


class DocumentationError(Exception):
    """The code declares something that the documentation lacks, or the reverse."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a dataclass, as the source declares it."""

    name: str
    type: str
    default: str | None
    """None: the field is required."""
    doc: str
    module: str
    """Module of the class that declares it."""

    @property
    def unit(self) -> str:
        """The first text in brackets of the docstring, or an empty text."""
        found = UNIT.search(self.doc)
        return found.group(1) if found else ""

    @property
    def meaning(self) -> str:
        """The docstring without its unit."""
        return UNIT.sub("", self.doc, count=1)


@cache
def root() -> Path:
    """Return the folder that holds the packages, also when the docs were copied elsewhere."""
    spec = importlib.util.find_spec("sac_ros")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).resolve().parent


@cache
def module_tree(module: str) -> ast.Module:
    """Return the syntax tree of one of our modules."""
    return ast.parse(root().joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))


def class_node(module: str, name: str) -> ast.ClassDef:
    """Return the class of that name."""
    for node in module_tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise DocumentationError(f"{module} has no class {name}")


def fields(module: str, name: str) -> list[Field]:
    """Return the fields of a dataclass, those of its bases first, as `dataclasses.fields` does."""
    node = class_node(module, name)
    found: dict[str, Field] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= {field.name: field for field in fields(origin(module, base.id), base.id)}
    for index, statement in enumerate(node.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            follower = node.body[index + 1] if index + 1 < len(node.body) else None
            field = _field(module, statement, follower)
            found[field.name] = field
    return list(found.values())


def origin(module: str, name: str) -> str:
    """Return the module that defines a name: this one, or the one it was first imported from."""
    for node in module_tree(module).body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            assert node.module is not None
            return origin(node.module, name) if is_ours(node.module) else node.module
    return module


def is_ours(module: str) -> bool:
    """Say whether the module belongs to this repository."""
    return module.partition(".")[0] in ("sac_ros", "sim_training")


def choices(module: str, name: str) -> str | None:
    """Return the values of a `Name = Literal[...]`, or None if the name is no such alias."""
    value = _assigned(module, name)
    text = "" if value is None else ast.unparse(value)
    return text if text.startswith("Literal[") else None


def text_constant(module: str, name: str) -> str | None:
    """Return the text, in quotes, of a constant such as `TOPIC = "estop"`; None if it is none."""
    value = _assigned(module, name)
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return ast.unparse(value) if value is not None and is_text else None


def _assigned(module: str, name: str) -> ast.expr | None:
    """Return the value that a module, ours, assigns to a name at its top level."""
    where = origin(module, name)
    if not is_ours(where):
        return None
    for node in module_tree(where).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.expr):
            return value
    return None


def _field(module: str, statement: ast.AnnAssign, follower: ast.stmt | None) -> Field:
    assert isinstance(statement.target, ast.Name)
    doc = ""
    if isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant):
        doc = " ".join(str(follower.value.value).split())
    return Field(
        name=statement.target.id,
        type=ast.unparse(statement.annotation),
        default=None if statement.value is None else _default(statement.value),
        doc=doc,
        module=module,
    )


def _default(value: ast.expr) -> str:
    """Return a default as a person writes it; a nested dataclass stands for its own defaults."""
    if not isinstance(value, ast.Call):
        return ast.unparse(value)
    for keyword in value.keywords:
        if keyword.arg in ("default", "default_factory"):
            return ast.unparse(keyword.value)
    return ast.unparse(value)
