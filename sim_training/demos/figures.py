"""Figures of the demonstrations, each a PNG file."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sim_training.demos.robot_session import Measured


def plot_training(
    progress_csv: Path, returns_over_ros: Sequence[float], path: Path, *, title: str
) -> None:
    """Draw the evaluations of a training run, and to their right the returns over ROS."""
    with progress_csv.open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    steps = [row["step"] for row in rows]
    with _figure(path, title, x_label="environment steps") as axes:
        axes.errorbar(
            steps,
            [row["return_mean"] for row in rows],
            yerr=[row["return_std"] for row in rows],
            marker="o",
            capsize=3,
            label="evaluation in simulation, mean ± std of 10 episodes",
        )
        axes.scatter(
            [steps[-1] * 1.04] * len(returns_over_ros),
            returns_over_ros,
            marker="_",
            s=300,
            color="tab:red",
            label="the exported policy over ROS 2, each episode",
            zorder=3,
        )


def plot_learning(
    rows: Sequence[EpisodeRow], before: Measured, after: Measured, path: Path, *, title: str
) -> None:
    """Draw each episode of learning on a robot, and the mean returns before and after it."""
    with _figure(path, title, x_label="robot steps") as axes:
        steps = [row.robot_steps for row in rows]
        axes.plot(steps, [row.episode_return for row in rows], ".", label="each episode, exploring")
        for measured, colour, when in (
            (before, "tab:red", "before"),
            (after, "tab:green", "after"),
        ):
            label = f"{when}: most likely action, mean of {len(measured.returns)}"
            axes.axhline(measured.mean, color=colour, linestyle="--", label=label)


@contextmanager
def _figure(path: Path, title: str, x_label: str) -> Iterator[Axes]:
    """Yield axes with returns upwards, and write them to a PNG file."""
    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    yield axes
    axes.set(xlabel=x_label, ylabel="return", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
