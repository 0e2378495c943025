"""Read the history of a training run: settings, evaluations and curves.

Shapes: T points of a curve.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import (
    SCALARS,
    EventAccumulator,
)

from sac_ros.errors import InputError
from sac_ros.task.strict_yaml import parse_mapping
from sac_ros.task.task_spec import TaskSpec
from sim_training.evaluation.evaluation import Evaluation
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_config import TrainingConfig

Floats: TypeAlias = NDArray[np.float64]
ALL_POINTS = 0
"""TensorBoard's size guidance for loading every point of a curve."""


class RunHistoryError(InputError):
    """A folder has no run, or a run without evaluations."""


class Curve(NamedTuple):
    """A scalar over the steps of training."""

    step: Floats  # [T], ascending environment steps
    value: Floats  # [T]


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """One run, finished or not."""

    folder: RunFolder
    config: TrainingConfig
    task: TaskSpec
    evaluations: tuple[Evaluation, ...]
    scalars: Mapping[str, Curve]
    """TensorBoard's curves by tag, such as losses/alpha."""

    @property
    def evaluation_curve(self) -> Curve:
        """Mean return of each evaluation."""
        return Curve(
            np.array([evaluation.step for evaluation in self.evaluations], dtype=np.float64),
            np.array([evaluation.return_mean for evaluation in self.evaluations]),
        )


def read_histories(path: Path) -> list[RunHistory]:
    """Read the run in this folder, or every run in its direct subfolders.

    Raises RunHistoryError if there is no run, or a run without evaluations.
    """
    if RunFolder(path).config.exists():
        return [read_history(path)]
    folders = sorted(file.parent for file in path.glob("*/config.yaml"))
    if not folders:
        raise RunHistoryError(
            f"{path} has no run: there is no {path / 'config.yaml'}, and no subfolder has one;"
            " give the --out folder of `sac-ros train`, or a folder that contains several"
        )
    return [read_history(folder) for folder in folders]


def read_history(path: Path) -> RunHistory:
    """Read one run; raise RunHistoryError if it has no evaluation yet."""
    folder = RunFolder(path)
    evaluations = _read_evaluations(folder.progress_csv)
    if not evaluations:
        raise RunHistoryError(
            f"{path} has no evaluation yet; wait for the first row of {folder.progress_csv}, or"
            " train with a smaller --eval-every"
        )
    return RunHistory(
        folder=folder,
        config=folder.read_config(),
        task=folder.read_task(),
        evaluations=evaluations,
        scalars=_read_scalars(path),
    )


def downsample(curve: Curve, max_points: int) -> Curve:
    """Reduce a curve to at most `max_points` points, by averaging over intervals of equal size."""
    if len(curve.step) <= max_points:
        return curve
    parts = np.array_split(np.arange(len(curve.step)), max_points)
    return Curve(
        np.array([curve.step[part].mean() for part in parts]),
        np.array([curve.value[part].mean() for part in parts]),
    )


def on_common_steps(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """Return the steps [T] that all S curves cover, and their interpolated values [S, T].

    The result ends with the shortest curve; beyond, a mean would jump wherever a curve ends.
    """
    first = max(curve.step[0] for curve in curves)
    last = min(curve.step[-1] for curve in curves)
    every = np.unique(np.concatenate([curve.step for curve in curves]))
    steps = every[(every >= first) & (every <= last)]
    values = [np.interp(steps, curve.step, curve.value) for curve in curves]
    return steps, np.stack(values)


def _read_evaluations(path: Path) -> tuple[Evaluation, ...]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return ()
    try:
        numbers = [{name: float(text) for name, text in row.items()} for row in rows]
    except (TypeError, ValueError) as error:
        raise RunHistoryError(f"{path} is not a table of numbers: {error}") from error
    return tuple(
        parse_mapping({**row, "step": int(row["step"])}, Evaluation, str(path)) for row in numbers
    )


def _read_scalars(path: Path) -> dict[str, Curve]:
    events = EventAccumulator(str(path), size_guidance={SCALARS: ALL_POINTS}).Reload()
    curves = {}
    for name in events.Tags()[SCALARS]:
        points = events.Scalars(name)
        step = np.array([point.step for point in points], dtype=np.float64)
        value = np.array([point.value for point in points], dtype=np.float64)
        # A diverging run may have logged infinity; only finite points can be plotted.
        finite = np.isfinite(value)
        if finite.any():
            curves[name] = Curve(step[finite], value[finite])
    return curves
