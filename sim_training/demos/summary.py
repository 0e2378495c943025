"""The results of a demonstration: summary.json and the table on the screen."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from sac_ros.atomic_write import replace_text


def write_summary(path: Path, summary: Mapping[str, object]) -> None:
    """Write summary.json, old or new but never half written."""
    replace_text(path, json.dumps(summary, indent=2) + "\n")


def results_table(title: str, rows: Sequence[tuple[str, str, str]]) -> Table:
    """Return a table of results; each row is a name, the measured value and the target."""
    table = Table(title=title)
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    for row in rows:
        table.add_row(*row)
    return table
