"""`sac-ros report`: an HTML page with the results of training runs."""

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
    """Options of `sac-ros report`."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, or folders of runs; runs that differ only in their seed are pooled."""
    compare: tuple[Path, ...] = ()
    """Run folders, or folders of runs over several seeds; each argument is one line in the figures,
    labelled with its name."""
    out: Path | None = None
    """Folder for index.html, the PNGs and summary.json; None means report/ in the run's folder, or
    in the common parent folder of all runs."""
    title: str | None = None
    """Heading of the page; None means the task's name."""
    episodes: int = 20
    """Episodes of each run's policy for the histogram of returns."""
    value_episodes: int = 5
    """Episodes of each run in which Q values are compared with the returns actually obtained."""
    seed: int = 1
    """Seed of the start states, and of the sampled actions in the check of the Q values."""
    video: bool = True
    """Record a video of an episode. It needs OpenGL; without it, the page has a note instead."""

    def __post_init__(self) -> None:
        """Raise ValueError for counts out of range, or if no run is given."""
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
        description="Make a self-contained HTML page, and PNG figures, of training runs.",
    )
    groups = _read_groups(options)
    out = options.out or _default_out(options)
    # Before the measurements, so that a read-only folder is reported at once.
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
            f"two groups of runs have the same label {labels[0]!r}; give all of them to --compare"
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
                "Q values against realised returns",
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
    "Metrics of the updates, one point every <code>log_every</code> steps; long curves are averaged"
    " over intervals. Thin lines: single seeds. Dotted line in the entropy's panel: the target"
    " entropy of the temperature. Losses and Q values of sac_v1 are in units of its scaled reward."
)


def _learning_caption(groups: Sequence[RunGroup]) -> str:
    sizes = {len(group.runs) for group in groups}
    parts = ["Each point is an evaluation with deterministic actions."]
    if 1 in sizes:
        parts.append(
            "For a single seed, the band is one standard deviation over an evaluation's episodes;"
            " it does not show the variation between seeds."
        )
    if 2 in sizes:
        parts.append("For two seeds (thin lines), the mean is shown without an interval.")
    if max(sizes) >= MIN_SEEDS_FOR_INTERVAL:
        parts.append(
            "For several seeds (thin lines), the thick line is the interquartile mean and the band"
            " its 95 % interval by stratified bootstrap over the seeds, up to the last step that"
            " all seeds have reached."
        )
    if MIN_SEEDS_FOR_INTERVAL <= max(sizes) < 10:
        parts.append("With fewer than ten seeds, this interval is only a rough estimate.")
    return " ".join(parts)


def _value_caption(checks: dict[str, ValueCheck], effort: MeasurementSettings) -> str:
    parts = []
    for label, values in checks.items():
        name = f"{escape(label)}: " if len(checks) > 1 else ""
        parts.append(
            f"{name}mean Q {number(float(values.q.mean()))}, realised"
            f" {number(float(values.realised.mean()))}, bias {number(values.bias)}"
            f" ({100.0 * values.relative_bias:+.1f} %), correlation {values.correlation:.2f}; the"
            f" critic's own estimate is at most {100.0 * values.tail_weight:.1f} % of a return."
        )
    return (
        f"{' '.join(parts)} {effort.value_episodes} episodes of each run, with sampled actions as"
        " in training. Q is the minimum of the critics. The realised return is the discounted sum"
        " of rewards and entropy bonuses; like Q, it continues beyond the time limit. Band: two"
        " standard errors, over the seeds if there are several, otherwise over the episodes."
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
        f"{' '.join(parts)} Undiscounted returns of {effort.episodes} episodes of each run's latest"
        " checkpoint; short strokes are single episodes, the line is their mean."
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
