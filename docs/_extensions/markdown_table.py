"""Markdown tables and code spans."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped."""
    lines = [_row(header), "|" + " --- |" * len(header)]
    lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return the text as a code span, or nothing for an empty one."""
    return f"`{text}`" if text else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
