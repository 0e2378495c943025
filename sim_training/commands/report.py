"""`sac-ros report`: one page that shows what runs have learned."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

import tyro

from sac_ros.atomic_write import replace_text
from sim_training.run_report.figure_style import figure_style, inline_svg, short_count, write_png
from sim_training.run_report.figures import (
    learning_curves,
    return_histogram,
    training_curves,
    value_figure,
)
from sim_training.run_report.measurement import Measurement, MeasurementSettings, measure
from sim_training.run_report.page import Illustration, final_return, make_page, number
from sim_training.run_report.run_groups import (
    RunGroup,
    group_by_argument,
    group_by_settings,
    refuse_several_tasks,
)
from sim_training.run_report.run_history import read_histories
from sim_training.run_report.seed_interval import MIN_SEEDS_FOR_INTERVAL
from sim_training.run_report.value_check import ValueCheck
from sim_training.terminal.options import OptionError, parse_options
from sim_training.training.provenance import command_line


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What a person types."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, or folders of runs; those that differ in their seed alone are pooled."""
    compare: tuple[Path, ...] = ()
    """Run folders, or folders of runs over several seeds, each a line of its own under its name."""
    out: Path | None = None
    """Folder for index.html, the PNGs and summary.json; None means report/ in the run's folder, or
    in the one that all runs have in common."""
    title: str | None = None
    """Heading of the page; None means the task's name."""
    episodes: int = 20
    """Episodes of each run's policy for the histogram."""
    value_episodes: int = 5
    """Episodes of each run in which Q values are compared with the returns that follow."""
    seed: int = 1
    """Of the start states, and of the actions that are sampled to check the Q values."""
    video: bool = True
    """Film an episode; it needs OpenGL, and the page says so where there is none."""

    def __post_init__(self) -> None:
        """Refuse counts that are none, and a report of nothing."""
        if not self.runs and not self.compare:
            raise ValueError("no run given: sac-ros report runs/hc1, or --compare runs/a runs/b")
        for name in ("episodes", "value_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


def main(argv: Sequence[str]) -> int:
    """Make the page that the command line asks for."""
    options = parse_options(
        ReportOptions,
        argv,
        prog="sac-ros report",
        description="Make one self-contained page, and PNGs, of what runs have learned.",
    )
    groups = _read_groups(options)
    out = options.out or _default_out(options)
    # Before the measurements, so that a folder that cannot be written is not found out after them.
    out.mkdir(parents=True, exist_ok=True)
    effort = MeasurementSettings(
        episodes=options.episodes,
        value_episodes=options.value_episodes,
        seed=options.seed,
        video=options.video,
    )
    measurements = {}
    with tempfile.TemporaryDirectory() as scratch:
        for index, group in enumerate(groups):
            print(f"{group.label}: {_places(group)}", flush=True)
            folder = Path(scratch) / str(index)
            folder.mkdir()
            measurements[group.label] = measure(group, effort, folder)
    title = options.title or groups[0].runs[0].task.name
    illustrations = _illustrate(groups, measurements, effort, out)
    page = make_page(title, groups, measurements, illustrations, command_line("report", argv))
    replace_text(out / "index.html", page)
    summary = {group.label: _summary(group, measurements[group.label]) for group in groups}
    replace_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    print(f"wrote {out / 'index.html'}, {len(page) / 2**20:.1f} MiB, and PNGs beside it")
    return 0


def _read_groups(options: ReportOptions) -> list[RunGroup]:
    groups = group_by_settings([run for path in options.runs for run in read_histories(path)])
    groups += group_by_argument([(path, read_histories(path)) for path in options.compare])
    refuse_several_tasks(groups)
    labels = [group.label for group in groups]
    if len(set(labels)) < len(labels):
        raise OptionError(
            f"two groups of runs would both be called {labels[0]!r}; give all of them to --compare"
        )
    return groups


def _default_out(options: ReportOptions) -> Path:
    paths = [*options.runs, *options.compare]
    if len(paths) == 1:
        return paths[0] / "report"
    return Path(os.path.commonpath([path.absolute() for path in paths])) / "report"


def _places(group: RunGroup) -> str:
    return ", ".join(str(run.folder.path) for run in group.runs)


def _illustrate(
    groups: Sequence[RunGroup],
    measurements: dict[str, Measurement],
    effort: MeasurementSettings,
    out: Path,
) -> list[Illustration]:
    """Draw every figure, write it as PNG, and return it for the page."""
    indices = {group.label: index for index, group in enumerate(groups)}
    values = {label: measurement.values for label, measurement in measurements.items()}
    returns = {label: measurement.returns for label, measurement in measurements.items()}
    with figure_style():
        figures = (
            (
                "learning_curves",
                "Learning curves",
                _learning_caption(groups),
                learning_curves(groups, groups[0].runs[0].task.success_return),
            ),
            ("training", "Training", _TRAINING_CAPTION, training_curves(groups)),
            (
                "values",
                "Does the critic tell the truth?",
                _value_caption(values, effort),
                value_figure(values, indices),
            ),
            (
                "returns",
                "Returns of the trained policies",
                _returns_caption(measurements, effort),
                return_histogram(returns, indices),
            ),
        )
        illustrations = []
        for name, heading, caption, figure in figures:
            if figure is None:
                continue
            write_png(figure, out / f"{name}.png")
            svg = inline_svg(figure, name, escape(heading))
            illustrations.append(Illustration(name=name, heading=heading, caption=caption, svg=svg))
    return illustrations


_TRAINING_CAPTION = (
    "Of the updates, a point every <code>log_every</code> steps, averaged over stretches where"
    " there are many. Thin: single seeds. Dotted, in the entropy's panel: the target entropy, which"
    " the temperature is driven by. Losses and Q values of sac_v1 are in its scaled reward here."
)


def _learning_caption(groups: Sequence[RunGroup]) -> str:
    sizes = {len(group.runs) for group in groups}
    parts = ["Each point is an evaluation with the most likely action."]
    if 1 in sizes:
        parts.append(
            "Of a single seed the band is one standard deviation of an evaluation's episodes, and"
            " says nothing about other seeds."
        )
    if 2 in sizes:
        parts.append("Of two seeds (thin) their mean is drawn, and no interval.")
    if max(sizes) >= MIN_SEEDS_FOR_INTERVAL:
        parts.append(
            "Of several seeds (thin) the thick line is the interquartile mean and the band its 95 %"
            " interval, by stratified bootstrap over the seeds, up to the step all have reached."
        )
    if MIN_SEEDS_FOR_INTERVAL <= max(sizes) < 10:
        parts.append("Of fewer than ten seeds such an interval is itself rough.")
    return " ".join(parts)


def _value_caption(checks: dict[str, ValueCheck], effort: MeasurementSettings) -> str:
    parts = []
    for label, values in checks.items():
        name = f"{escape(label)}: " if len(checks) > 1 else ""
        parts.append(
            f"{name}mean Q {number(float(values.q.mean()))}, realised"
            f" {number(float(values.realised.mean()))}, bias {number(values.bias)}"
            f" ({100.0 * values.relative_bias:+.1f} %), correlation {values.correlation:.2f},"
            f" at most {100.0 * values.tail_weight:.1f} % of a return from the critic itself."
        )
    return (
        f"{' '.join(parts)} {effort.value_episodes} episodes of each run, acted by sampling as in"
        " training. Q is the lesser of the critics; the realised return discounts rewards and the"
        " entropy that Q counts, and goes on beyond the time limit, which is no end to Q either."
        " Band: two standard errors, over the seeds where there are several, else over the"
        " episodes."
    )


def _returns_caption(measurements: dict[str, Measurement], effort: MeasurementSettings) -> str:
    parts = []
    for label, measurement in measurements.items():
        returns = measurement.returns
        name = f"{escape(label)}: " if len(measurements) > 1 else ""
        steps = " and ".join(map(short_count, sorted(set(measurement.checkpoint_steps))))
        parts.append(
            f"{name}{number(float(returns.mean()))} ± {number(float(returns.std()))},"
            f" from {number(float(returns.min()))} to {number(float(returns.max()))},"
            f" after {steps} steps of training."
        )
    return (
        f"{' '.join(parts)} {effort.episodes} episodes of each run's latest checkpoint, not"
        " discounted; the strokes below are the episodes, the line is their mean."
    )


def _summary(group: RunGroup, measurement: Measurement) -> dict[str, object]:
    returns = measurement.returns
    middle, spread = final_return(group)
    return {
        "runs": [str(run.folder.path) for run in group.runs],
        "seeds": [run.config.seed for run in group.runs],
        "steps": [run.evaluations[-1].step for run in group.runs],
        "checkpoint_steps": list(measurement.checkpoint_steps),
        "last_evaluation": middle,
        "last_evaluation_spread": spread,
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "returns": returns.tolist(),
        "values": _value_summary(measurement.values),
        "film": measurement.film is not None and measurement.film.data_uri is not None,
    }


def _value_summary(values: ValueCheck) -> dict[str, float]:
    return {
        "q_mean": float(values.q.mean()),
        "realised_soft_return_mean": float(values.realised.mean()),
        "discounted_return_mean": values.discounted_return,
        "bias": values.bias,
        "relative_bias": values.relative_bias,
        "correlation": values.correlation,
        "tail_weight": values.tail_weight,
    }
