"""The report as one self-contained HTML file, without external resources."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from sac_ros.sac.config.algorithm_config import CONFIGS
from sac_ros.task.strict_yaml import to_mapping
from sim_training.run_report.figure_style import SERIES, short_count
from sim_training.run_report.measurement import Measurement
from sim_training.run_report.page_style import STYLE
from sim_training.run_report.run_groups import RunGroup
from sim_training.run_report.run_history import RunHistory, on_common_steps
from sim_training.run_report.seed_interval import (
    MIN_SEEDS_FOR_INTERVAL,
    interquartile_mean,
    seed_band,
)
from sim_training.training.training_config import TrainingConfig, flatten_settings

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
"""Content security policy: the browser loads nothing that is not in the page itself."""


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure with heading and caption."""

    name: str
    heading: str
    caption: str
    svg: str


def make_page(
    title: str,
    groups: Sequence[RunGroup],
    measurements: Mapping[str, Measurement],
    illustrations: Sequence[Illustration],
    command: str,
) -> str:
    """Return the HTML page; `measurements` has the label of each group as key."""
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            f'<p class="lead">{_lead(groups)}</p>',
            *_unfinished(groups),
            *(_tiles(groups[0], measurements[groups[0].label]) if len(groups) == 1 else ()),
            *(_overview(groups, measurements) if len(groups) > 1 else ()),
            *map(_figure, illustrations),
            *_films(groups, measurements),
            *_settings(groups),
            *_origin(groups, measurements),
            *_evaluations(groups),
            f"<footer>Made by <code>{escape(command)}</code></footer>",
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def final_return(group: RunGroup) -> tuple[float, str]:
    """Return the interquartile mean of the last common evaluation, and its spread as text."""
    _, values = on_common_steps([run.evaluation_curve for run in group.runs])
    last = values[:, -1:]
    middle = float(interquartile_mean(last)[0])
    if len(group.runs) == 1:
        evaluation = group.runs[0].evaluations[-1]
        return (
            middle,
            f"± {number(evaluation.return_std)} over {_episodes(group.runs[0])}, one seed",
        )
    if len(group.runs) < MIN_SEEDS_FOR_INTERVAL:
        return middle, f"{number(last.min())} and {number(last.max())}, two seeds"
    band = seed_band(last)
    interval = f"{number(band.low[0])} to {number(band.high[0])}"
    return middle, f"95 % interval {interval}, {len(group.runs)} seeds"


def number(value: float) -> str:
    """Format a number for people: 12,345, 45.6 or 0.012."""
    if abs(value) >= 1000.0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10.0 else f"{value:.3g}"


def _lead(groups: Sequence[RunGroup]) -> str:
    run = groups[0].runs[0]
    runs = sum(len(group.runs) for group in groups)
    seeds = ", ".join(sorted({str(r.config.seed) for g in groups for r in g.runs}, key=int))
    task = run.task
    names = ", ".join(dict.fromkeys(group.runs[0].config.algorithm for group in groups))
    return (
        f"Soft Actor-Critic ({names}) on {escape(task.name)}:"
        f" {_counted(task.obs_dim, 'observation')},"
        f" {_counted(task.action_dim, 'action')}, {task.control_period_s:g} s per step,"
        f" {task.max_episode_steps} steps per episode. {_counted(runs, 'run')}, seed"
        f"{'s' if ',' in seeds else ''} {seeds}."
    )


def _unfinished(groups: Sequence[RunGroup]) -> list[str]:
    """Return a note for every run that has not reached its number of steps."""
    return [
        f'<p class="badge">partial: {escape(str(run.folder.path))} has finished'
        f" {short_count(run.evaluations[-1].step)} of {short_count(run.config.steps)} steps</p>"
        for group in groups
        for run in group.runs
        if _is_unfinished(run)
    ]


def _is_unfinished(run: RunHistory) -> bool:
    return run.evaluations[-1].step < run.config.steps and run.config.stop_at_return is None


def _tiles(group: RunGroup, measurement: Measurement) -> list[str]:
    middle, spread = final_return(group)
    last = [run.evaluations[-1] for run in group.runs]
    best = max(e.return_mean for run in group.runs for e in run.evaluations)
    wall_s = sum(evaluation.wall_s for evaluation in last)
    steps = sum(evaluation.step for evaluation in last)
    tiles = (
        (number(middle), f"return of the last evaluation; {spread}"),
        (number(best), "best evaluation of any seed"),
        (short_count(last[0].step), f"environment steps{' per run' if len(last) > 1 else ''}"),
        (_duration(wall_s), f"total training time, {steps / max(wall_s, 1e-9):,.0f} steps/s"),
        (_bias(measurement), "bias of Q against realised soft returns"),
    )
    cells = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(words)}</span></div>'
        for value, words in tiles
    )
    return [f'<div class="tiles">{cells}</div>']


def _overview(groups: Sequence[RunGroup], measurements: Mapping[str, Measurement]) -> list[str]:
    rows = []
    for index, group in enumerate(groups):
        middle, spread = final_return(group)
        last = [run.evaluations[-1] for run in group.runs]
        returns = measurements[group.label].returns
        rows.append(
            (
                _key(index) + escape(group.label),
                f"{number(middle)} <span class='note'>{escape(spread)}</span>",
                f"{number(float(returns.mean()))} ± {number(float(returns.std()))}",
                short_count(min(evaluation.step for evaluation in last)),
                _duration(float(np.mean([evaluation.wall_s for evaluation in last]))),
                _bias(measurements[group.label]),
            )
        )
    heads = ("", "last evaluation", "episodes below", "steps", "wall-clock per run", "bias of Q")
    return [_section("Overview", _table(heads, rows))]


def _figure(illustration: Illustration) -> str:
    content = (
        f'<figure id="{illustration.name}">{illustration.svg}'
        f"<figcaption>{illustration.caption}</figcaption></figure>"
    )
    return _section(illustration.heading, content)


def _films(groups: Sequence[RunGroup], measurements: Mapping[str, Measurement]) -> list[str]:
    parts = []
    for index, group in enumerate(groups):
        film = measurements[group.label].film
        if film is None:
            continue
        run = group.median_run
        seed = f"seed {run.config.seed}"
        words = f"{_key(index)}{escape(group.label)}, {seed}" if len(groups) > 1 else seed
        shown = (
            f'<video controls autoplay muted loop playsinline src="{film.data_uri}"></video>'
            if film.data_uri is not None
            else f'<p class="note">No film: {escape(str(film.missing_because))}</p>'
        )
        parts.append(f"<div>{shown}<figcaption>{words}</figcaption></div>")
    if not parts:
        return []
    note = (
        '<p class="note">One episode in real time, with deterministic actions; of several seeds,'
        " the one with the median last evaluation.</p>"
    )
    return [_section("The policy", f'{note}<div class="films">{"".join(parts)}</div>')]


def _settings(groups: Sequence[RunGroup]) -> list[str]:
    defaults: dict[str, str] = {}
    for name in {group.runs[0].config.algorithm for group in groups}:
        defaults |= _flat(TrainingConfig(algorithm=name, sac=CONFIGS[name]()))
    defaults["algorithm"] = TrainingConfig().algorithm
    columns = [_flat(group.runs[0].config) for group in groups]
    for column, group in zip(columns, groups, strict=True):
        column["seed"] = ", ".join(sorted((str(r.config.seed) for r in group.runs), key=int))
    heads = ("setting", *(group.label for group in groups), "default")
    rows, special = [], []
    for setting in dict.fromkeys(name for column in columns for name in column):
        values = [column.get(setting, "") for column in columns]
        cells = (*values, defaults[setting])
        rows.append((f"<code>{escape(setting)}</code>", *map(escape, cells)))
        special.append(any(value not in ("", defaults[setting]) for value in values))
    ordered = sorted(zip(special, rows, strict=True), key=lambda pair: not pair[0])
    table = _table(
        tuple(map(escape, heads)),
        [row for _, row in ordered],
        special=[is_special for is_special, _ in ordered],
        numbers=False,
    )
    note = '<p class="note">Bold: different from the default.</p>'
    return [_section("Hyperparameters", note + table)]


def _origin(groups: Sequence[RunGroup], measurements: Mapping[str, Measurement]) -> list[str]:
    parts = []
    for group in groups:
        run, provenance = group.median_run, measurements[group.label].provenance
        words = f"<p>{escape(group.label)}, <code>{escape(str(run.folder.path))}</code>"
        if provenance is None:
            parts.append(f"{words}: not finished; the commit is in the policy file at the end.</p>")
            continue
        packages = ", ".join(f"{name} {v}" for name, v in provenance.packages.items())
        parts.append(
            f"{words}, {escape(provenance.created_utc)}, commit"
            f" <code>{escape(provenance.git_commit)}</code>;"
            f' <span class="note">{escape(packages)}</span></p>'
            f"<pre>{escape(provenance.command)}</pre>"
        )
    return [_section("Provenance", "".join(parts))]


def _evaluations(groups: Sequence[RunGroup]) -> list[str]:
    heads = ("step", "mean", "std", "min", "max", "episode length", "seconds")
    tables = []
    for group in groups:
        for run in group.runs:
            rows = [
                (f"{e.step:,}", *map(number, (e.return_mean, e.return_std, e.return_min)),
                 number(e.return_max), number(e.episode_length_mean), f"{e.wall_s:,.0f}")
                for e in run.evaluations
            ]  # fmt: skip
            name = f"{group.label}, seed {run.config.seed}"
            tables.append(
                f"<details><summary>{escape(name)}</summary>{_table(heads, rows)}</details>"
            )
    return [_section("All evaluations", "".join(tables))]


def _section(heading: str, content: str) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>"


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    special: Sequence[bool] = (),
    numbers: bool = True,
) -> str:
    """Return a table of HTML cells; numbers are right-aligned."""
    kinds = ["", *(' class="number"' if numbers else "" for _ in heads[1:])]
    head = "".join(f"<th{kind}>{text}</th>" for kind, text in zip(kinds, heads, strict=True))
    lines = []
    for index, row in enumerate(rows):
        mark = ' class="special"' if index < len(special) and special[index] else ""
        cells = "".join(f"<td{kind}>{text}</td>" for kind, text in zip(kinds, row, strict=True))
        lines.append(f"<tr{mark}>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _bias(measurement: Measurement) -> str:
    return f"{100.0 * measurement.values.relative_bias:+.1f} %"


def _key(index: int) -> str:
    return f'<span class="key" style="background: var(--series-{index % len(SERIES)})"></span>'


def _flat(config: TrainingConfig) -> dict[str, str]:
    return {name: _plain(value) for name, value in flatten_settings(to_mapping(config)).items()}


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _episodes(run: RunHistory) -> str:
    return _counted(run.config.eval_episodes, "episode")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _duration(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
