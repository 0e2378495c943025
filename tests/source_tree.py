"""This source tree, for tests that read, copy or install it."""

import ast
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_NOT_SOURCES = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "install", "log", "runs"
)


def copy_sources(target: Path) -> None:
    """Copy what a fresh clone has; building there leaves nothing here."""
    shutil.copytree(ROOT, target, ignore=_NOT_SOURCES)


def imported_modules(source: Path) -> set[str]:
    """Return every absolute module name that one file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, (
                f"{source}: relative imports hide the direction; write them out"
            )
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names
