"""Every logged metric, from the dataclasses and the log that write them, with its equation."""

import ast
from collections.abc import Iterable, Mapping

import yaml
from markdown_table import code, table
from source_reader import DocumentationError, Field, fields, module_tree, root

LEARNERS = {
    "sac": ("sac_ros.sac.learners.learner", "SACMetrics"),
    "sac_v1": ("sac_ros.sac.learners.sac_v1", "SACV1Metrics"),
    "sac_discrete": ("sac_ros.sac.learners.sac_discrete", "SACDiscreteMetrics"),
}
TABLES = {
    "progress_csv": ("sim_training.evaluation.evaluation", "Evaluation"),
    "episodes_csv": ("sac_ros.sac.on_robot.episodes_file", "EpisodeRow"),
}


def loss_reference() -> str:
    """Return a table of the metrics of an update for each algorithm."""
    parts = []
    for name, (module, cls) in LEARNERS.items():
        equations = _documented()["losses"][name]
        declared = fields(module, cls)
        _require_equal(f"losses of {name}", equations, [field.name for field in declared])
        rows = [(code(f"losses/{f.name}"), f.doc, equations[f.name]) for f in declared]
        header = ("metric", "meaning", "equation")
        parts.append(f"### `--algorithm {name}`\n\n{table(header, rows)}")
    return "\n".join(parts)


def scalar_reference() -> str:
    """Return a table of the metrics that are the same for every algorithm."""
    meanings = _documented()["scalars"]
    _require_equal("scalars", meanings, logged_scalars())
    return table(("metric", "meaning"), ((code(name), meanings[name]) for name in meanings))


def csv_reference(name: str) -> str:
    """Return a table of the columns of progress.csv or episodes.csv."""
    meanings = _documented()[name]
    declared: list[Field] = fields(*TABLES[name])
    _require_equal(name, meanings, [field.name for field in declared])
    rows = ((code(field.name), meanings[field.name]) for field in declared)
    return table(("column", "meaning"), rows)


def logged_scalars() -> list[str]:
    """Return the names that the training log writes itself, such as `eval/return_mean`."""
    tree = module_tree("sim_training.training.training_log")
    return [
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]


def _require_equal(what: str, documented: Mapping[str, str], declared: Iterable[str]) -> None:
    declared = set(declared)
    if documented.keys() != declared:
        raise DocumentationError(
            f"docs/reference/metrics.yaml, {what}: lacks {sorted(declared - documented.keys())},"
            f" and has {sorted(documented.keys() - declared)}, which the code lacks"
        )


def _documented() -> dict[str, dict[str, dict[str, str]]]:
    path = root() / "docs" / "reference" / "metrics.yaml"
    return dict(yaml.safe_load(path.read_text("utf-8")))
