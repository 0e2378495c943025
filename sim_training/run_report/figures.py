"""The figures of a report.

Shapes: S seeds, T points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config
from sim_training.run_report.figure_style import (
    DASHES,
    INK,
    MUTED,
    colour_of,
    format_steps,
)
from sim_training.run_report.run_groups import RunGroup
from sim_training.run_report.run_history import Curve, RunHistory, downsample, on_common_steps
from sim_training.run_report.seed_interval import (
    MIN_SEEDS_FOR_INTERVAL,
    interquartile_mean,
    seed_band,
)
from sim_training.run_report.value_check import ValueCheck

WIDTH = 9.6  # inches
MAX_POINTS = 200
"""Points per curve; more would not be visible, and would enlarge the page."""
MAX_DOTS = 2000
BIAS_BINS = 20


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One of the small plots of the training curves."""

    name: str
    """The tag in TensorBoard."""
    title: str
    scale: str = "linear"


PANELS = (
    Panel(name="charts/episodic_return", title="Return of training episodes"),
    Panel(name="losses/qf_loss", title="Critic loss", scale="log"),
    Panel(name="losses/actor_loss", title="Actor loss"),
    Panel(name="losses/q_mean", title="Mean Q of the batch"),
    Panel(name="losses/alpha", title="Temperature alpha", scale="log"),
    Panel(name="losses/entropy", title="Entropy of the policy [nats]"),
)
UNPLOTTED = {"losses/qf1_loss", "losses/qf2_loss", "losses/alpha_loss"}
"""Components of a plotted curve, and a loss that is not informative."""


def learning_curves(groups: Sequence[RunGroup], success_return: float | None) -> Figure:
    """Plot the evaluations with an interval over seeds, or over episodes for a single seed."""
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.subplots()
    for index, group in enumerate(groups):
        curves = [run.evaluation_curve for run in group.runs]
        if len(curves) == 1:
            _draw_episode_spread(axes, index, group)
        _draw_seeds(axes, index, group.label, curves)
    if success_return is not None:
        axes.axhline(success_return, color=MUTED, linewidth=1.0, linestyle=":")
        axes.annotate(
            f"success: {success_return:g}",
            (0.0, success_return),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            color=MUTED,
        )
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return of an evaluation")
    format_steps(axes)
    if len(groups) > 1:
        figure.legend(loc="outside upper left", ncols=min(len(groups), 4))
    return figure


def training_curves(groups: Sequence[RunGroup]) -> Figure | None:
    """Plot losses, temperature, entropy and training returns; None if nothing was logged."""
    logged = {name for group in groups for run in group.runs for name in run.scalars}
    known = {panel.name for panel in PANELS} | UNPLOTTED
    others = sorted(name for name in logged - known if name.startswith("losses/"))
    panels = [panel for panel in PANELS if panel.name in logged]
    # Other algorithms log further losses; they are shown with their logged names.
    panels += [Panel(name=name, title=name.removeprefix("losses/")) for name in others]
    if not panels:
        return None
    num_rows = -(-len(panels) // 3)
    figure = Figure(figsize=(WIDTH, 0.3 + 2.3 * num_rows))
    grid = figure.subplots(num_rows, 3, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, groups)
    for axes in grid[len(panels) :]:
        axes.remove()
    if len(groups) > 1:
        # From all panels: not every group has every curve.
        handles: dict[str, Artist] = {}
        for axes in figure.axes:
            found, labels = axes.get_legend_handles_labels()
            handles.update(zip(labels, found, strict=True))
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside upper left",
            ncols=min(len(groups), 4),
        )
    return figure


def value_figure(checks: Mapping[str, ValueCheck], indices: Mapping[str, int]) -> Figure:
    """Plot Q against the realised soft return, and the bias along the episode, per group."""
    figure = Figure(figsize=(WIDTH, 3.8))
    left, right = figure.subplots(1, 2)
    ends = []
    for label, check in checks.items():
        colour = colour_of(indices[label])
        picked = np.random.default_rng(0).permutation(len(check.q))[:MAX_DOTS]
        left.scatter(
            check.realised[picked],
            check.q[picked],
            s=7,
            color=colour,
            alpha=0.3,
            linewidths=0,
            rasterized=True,  # thousands of SVG circles would make the page slow
        )
        ends += [*np.percentile(check.q, (0.2, 99.8)), *np.percentile(check.realised, (0.2, 99.8))]
        _draw_bias(right, indices[label], label, check)
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 1.0
    span = (low - margin, high + margin)
    left.plot(span, span, color=INK, linewidth=1.0)
    left.set(xlim=span, ylim=span, xlabel="realised soft return", ylabel="Q(s, a)")
    left.set_title("Q against realised soft return")
    left.annotate("over-estimates", (0.03, 0.97), xycoords="axes fraction", va="top", color=MUTED)
    left.annotate(
        "under-estimates", (0.97, 0.03), xycoords="axes fraction", ha="right", color=MUTED
    )
    right.axhline(0.0, color=INK, linewidth=1.0)
    right.set_title("Q minus realised return, along the episode")
    right.set_xlabel("steps since the episode began")
    format_steps(right)
    if len(checks) > 1:
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(checks), 4))
    return figure


def return_histogram(
    returns: Mapping[str, NDArray[np.float64]], indices: Mapping[str, int]
) -> Figure:
    """Plot the histogram of episode returns, per group."""
    figure = Figure(figsize=(WIDTH, 3.2))
    axes = figure.subplots()
    edges = _histogram_edges(np.concatenate(list(returns.values())))
    for label, values in returns.items():
        colour = colour_of(indices[label])
        axes.hist(values, edges.tolist(), color=colour, alpha=0.45, edgecolor=colour, label=label)
        axes.axvline(
            float(values.mean()), color=colour, linestyle=DASHES[indices[label] % len(DASHES)]
        )
        # Each episode as a stroke below the bars, because a histogram of few values hides details.
        axes.plot(
            values, np.full(len(values), -0.035), "|", color=colour, markersize=8,
            transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    axes.tick_params(axis="x", pad=9)
    axes.set_xlabel("return of one episode, deterministic actions")
    axes.set_ylabel("episodes")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="x", visible=False)
    if len(returns) > 1:
        figure.legend(loc="outside upper left", ncols=min(len(returns), 4))
    return figure


def _draw_panel(axes: Axes, panel: Panel, groups: Sequence[RunGroup]) -> None:
    for index, group in enumerate(groups):
        curves = [run.scalars[panel.name] for run in group.runs if panel.name in run.scalars]
        if curves:
            _draw_seeds(axes, index, group.label, [downsample(c, MAX_POINTS) for c in curves])
        if panel.name == "losses/entropy":
            _draw_target_entropy(axes, index, group.runs[0])
    values = [
        run.scalars[panel.name].value for g in groups for run in g.runs if panel.name in run.scalars
    ]
    if panel.scale == "log" and min(value.min() for value in values) > 0.0:
        axes.set_yscale("log")
    axes.set_title(panel.title)
    format_steps(axes)


def _draw_target_entropy(axes: Axes, index: int, run: RunHistory) -> None:
    hyperparameters, choices = run.config.sac, run.task.action.choices
    if isinstance(hyperparameters, SACV1Config) or hyperparameters.fixed_alpha is not None:
        return  # no target entropy: the temperature is fixed
    if isinstance(hyperparameters, SACDiscreteConfig):
        wanted = hyperparameters.target_entropy_scale * math.log(len(choices or ()))
    else:
        target = hyperparameters.target_entropy
        wanted = -float(run.task.action_dim) if target is None else target
    axes.axhline(wanted, color=colour_of(index), linewidth=1.0, linestyle=":")


def _draw_seeds(axes: Axes, index: int, label: str, curves: Sequence[Curve]) -> None:
    """Plot one group: each seed thinly, their interquartile mean, and from three seeds a band."""
    colour, dash = colour_of(index), DASHES[index % len(DASHES)]
    if len(curves) == 1:
        axes.plot(*curves[0], color=colour, linestyle=dash, label=label)
        return
    for curve in curves:
        axes.plot(*curve, color=colour, linewidth=0.7, alpha=0.35)
    steps, values = on_common_steps(curves)
    if len(steps) == 0:
        return
    if len(curves) >= MIN_SEEDS_FOR_INTERVAL:
        band = seed_band(values)
        axes.fill_between(steps, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, interquartile_mean(values), color=colour, linestyle=dash, label=label)


def _draw_episode_spread(axes: Axes, index: int, group: RunGroup) -> None:
    evaluations = group.runs[0].evaluations
    steps = [evaluation.step for evaluation in evaluations]
    mean = np.array([evaluation.return_mean for evaluation in evaluations])
    std = np.array([evaluation.return_std for evaluation in evaluations])
    axes.fill_between(steps, mean - std, mean + std, color=colour_of(index), alpha=0.2, linewidth=0)
    axes.plot(steps, mean, "o", color=colour_of(index), markersize=3)


def _draw_bias(axes: Axes, index: int, label: str, check: ValueCheck) -> None:
    """Plot the mean of Q minus realised return per interval, with 2 standard errors."""
    bias = check.q - check.realised
    # Independent samples are seeds, or the episodes of one seed; steps of an episode are not.
    unit = check.run if check.run.max() > 0 else check.episode
    edges = np.linspace(0.0, check.step.max() + 1.0, BIAS_BINS + 1)
    place = np.digitize(check.step, edges) - 1
    middle, mean, error = [], [], []
    for part in range(BIAS_BINS):
        here = place == part
        means = np.array([bias[here & (unit == u)].mean() for u in np.unique(unit[here])])
        if len(means) == 0:
            continue
        middle.append((edges[part] + edges[part + 1]) / 2.0)
        mean.append(means.mean())
        error.append(2.0 * means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else 0.0)
    colour = colour_of(index)
    low, high = np.array(mean) - np.array(error), np.array(mean) + np.array(error)
    axes.fill_between(middle, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(middle, mean, color=colour, linestyle=DASHES[index % len(DASHES)], label=label)


def _histogram_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6 * max(1.0, abs(high)):
        # All values equal: a single bar.
        half = max(0.5, 0.005 * abs(high))
        return np.array([low - 3 * half, low - half, low + half, low + 3 * half])
    return np.linspace(low, high, min(30, max(8, len(values) // 3)) + 1)
