"""Group the runs that differ only in their seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sac_ros.task.strict_yaml import to_mapping
from sim_training.run_report.run_history import RunHistory, RunHistoryError
from sim_training.training.training_config import CHANGEABLE_ON_RESUME, flatten_settings

NOT_COMPARED = CHANGEABLE_ON_RESUME | {"seed", "device", "threads", "compiled"}
"""Settings that may differ within a group: none of them affects what is learned."""


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs with equal settings: one line in every figure."""

    label: str
    runs: tuple[RunHistory, ...]

    @property
    def median_run(self) -> RunHistory:
        """The run with the (lower) median last evaluation."""
        ordered = sorted(self.runs, key=lambda run: run.evaluations[-1].return_mean)
        return ordered[(len(ordered) - 1) // 2]


def group_by_settings(runs: Sequence[RunHistory]) -> list[RunGroup]:
    """Group runs with equal settings; each label names the settings that differ from others."""
    pools: dict[tuple[tuple[str, str], ...], list[RunHistory]] = {}
    for run in runs:
        pools.setdefault(tuple(_settings(run).items()), []).append(run)
    columns = [dict(key) for key in pools]
    # Runs of different algorithms have different settings.
    names = dict.fromkeys(name for column in columns for name in column)
    differing = [name for name in names if len({column.get(name) for column in columns}) > 1]
    return [
        RunGroup(
            label=_label(column, differing) or members[0].task.name,
            runs=tuple(members),
        )
        for column, members in zip(columns, pools.values(), strict=True)
    ]


def group_by_argument(arguments: Sequence[tuple[Path, Sequence[RunHistory]]]) -> list[RunGroup]:
    """Make one group per argument, labelled with its folder name, or its path if names repeat.

    Raises RunHistoryError if the runs of one argument have different settings.
    """
    groups = []
    for path, runs in arguments:
        pooled = group_by_settings(runs)
        if len(pooled) > 1:
            raise RunHistoryError(
                f"the runs in {path} differ in more than their seed ({pooled[0].label};"
                f" {pooled[1].label}); give each run to --compare separately"
            )
        groups.append(RunGroup(label=_short_name(path), runs=tuple(runs)))
    labels = [group.label for group in groups]
    if len(set(labels)) == len(labels):
        return groups
    return [
        RunGroup(label=str(path), runs=group.runs)
        for (path, _), group in zip(arguments, groups, strict=True)
    ]


def refuse_several_tasks(groups: Sequence[RunGroup]) -> None:
    """Raise RunHistoryError unless all runs have the same task."""
    folders = {run.task.name: run.folder.path for group in groups for run in group.runs}
    if len(folders) > 1:
        places = " and ".join(f"{name} ({path})" for name, path in folders.items())
        raise RunHistoryError(
            f"returns of different tasks cannot be compared: {places}; make a report for each task"
        )


def _label(column: Mapping[str, str], differing: Sequence[str]) -> str:
    if "algorithm" in differing:
        differing = [name for name in differing if "." not in name]
    return ", ".join(f"{name.rpartition('.')[2]} {column[name]}" for name in differing)


def _settings(run: RunHistory) -> dict[str, str]:
    flat = flatten_settings(to_mapping(run.config))
    return {name: str(value) for name, value in flat.items() if name not in NOT_COMPARED}


def _short_name(path: Path) -> str:
    return path.resolve().name
