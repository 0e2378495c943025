"""The Sphinx extension: replaces a line `% generated: NAME` of a page by what NAME returns."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from metric_reference import csv_reference, loss_reference, scalar_reference
from node_reference import interface_reference, parameter_reference
from option_reference import fine_tuning_reference, hyperparameter_reference, option_reference
from room_reference import room_table, write_room_figure
from sphinx.application import Sphinx
from task_file_reference import readable_fields, task_file_reference

GENERATED: dict[str, Callable[[], str]] = {
    "task_file": task_file_reference,
    "readable_fields": readable_fields,
    "parameters": parameter_reference,
    "interfaces": interface_reference,
    "options": option_reference,
    "hyperparameters": hyperparameter_reference,
    "fine_tuning": fine_tuning_reference,
    "losses": loss_reference,
    "scalars": scalar_reference,
    "progress_csv": partial(csv_reference, "progress_csv"),
    "episodes_csv": partial(csv_reference, "episodes_csv"),
    "rooms": room_table,
}
LINE = re.compile(r"^% generated: (\w+)$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", _write_figures)
    app.connect("source-read", _expand)
    return {"parallel_read_safe": True}


def _write_figures(app: Sphinx) -> None:
    write_room_figure(Path(app.srcdir) / "how_it_works" / "rooms.svg")


def _expand(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = LINE.sub(lambda match: GENERATED[match.group(1)](), source[0])
    if page.startswith(("reference/", "how_it_works/architecture")):
        app.env.note_reread()  # the code may have changed although the page has not
