"""From measurements to tables, a CSV and a summary."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

CSV_COLUMNS = (
    "round", "subject", "executor", "rate_hz", "samples", "lost", "foreign",
    "p50_ms", "p99_ms", "max_ms", "cpu_percent", "load_average_1min",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One node, one executor, one rate, one round."""

    round: int
    subject: str
    baseline: str
    """The subject that this one is compared with."""
    executor: str
    rate_hz: float
    samples_ms: NDArray[np.float64]
    num_lost: int
    """Joint states without an answer, or ticks without a command."""
    num_foreign: int
    """Commands that answer nothing that was sent, such as the safe command."""
    cpu_percent: float
    """Of one core, of the whole process of the node."""
    load_average_1min: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """All rounds of one subject together, beside those of its baseline."""

    subject: str
    executor: str
    rate_hz: float
    samples: int
    lost: int
    foreign: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    p50_ratio: float
    p99_ratio: float
    p50_ratio_by_round: tuple[float, ...]
    p99_ratio_by_round: tuple[float, ...]
    cpu_percent: float


def summarise(measurements: Sequence[Measurement]) -> list[Row]:
    """Return one row per subject, executor and rate, in the order of their first appearance."""
    groups: dict[tuple[float, str, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.rate_hz, m.executor, m.subject), []).append(m)
    return [
        _row(group, groups[(rate_hz, executor, group[0].baseline)])
        for (rate_hz, executor, _), group in groups.items()
    ]


def _row(group: list[Measurement], baseline: list[Measurement]) -> Row:
    """Pool the samples of all rounds; compare also round by round, for the noise of the machine."""
    samples = np.concatenate([m.samples_ms for m in group])
    base = np.concatenate([m.samples_ms for m in baseline])
    p50_ms, p99_ms = np.percentile(samples, (50, 99))
    by_round = [
        np.percentile(m.samples_ms, (50, 99)) / np.percentile(b.samples_ms, (50, 99))
        for m, b in zip(group, baseline, strict=True)
    ]
    return Row(
        subject=group[0].subject,
        executor=group[0].executor,
        rate_hz=group[0].rate_hz,
        samples=len(samples),
        lost=sum(m.num_lost for m in group),
        foreign=sum(m.num_foreign for m in group),
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
        max_ms=float(samples.max()),
        p50_ratio=float(p50_ms / np.percentile(base, 50)),
        p99_ratio=float(p99_ms / np.percentile(base, 99)),
        p50_ratio_by_round=tuple(float(ratio[0]) for ratio in by_round),
        p99_ratio_by_round=tuple(float(ratio[1]) for ratio in by_round),
        cpu_percent=float(np.mean([m.cpu_percent for m in group])),
    )


def print_table(console: Console, title: str, rows: Sequence[Row]) -> None:
    """Print the rows; the ratio's spread over the rounds stands behind it."""
    table = Table(title=title, title_justify="left")
    for heading in ("Hz", "executor", "node"):
        table.add_column(heading)
    for heading in ("p50 ms", "p99 ms", "max ms", "p50 ratio", "p99 ratio", "lost", "CPU %"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.rate_hz:g}",
            row.executor,
            row.subject,
            f"{row.p50_ms:.3f}",
            f"{row.p99_ms:.3f}",
            f"{row.max_ms:.2f}",
            _ratio(row.p50_ratio, row.p50_ratio_by_round),
            _ratio(row.p99_ratio, row.p99_ratio_by_round),
            f"{100.0 * row.lost / (row.samples + row.lost):.1f} %",
            f"{row.cpu_percent:.1f}",
        )
    console.print(table)


def _ratio(ratio: float, by_round: tuple[float, ...]) -> str:
    return f"{ratio:.2f} ({min(by_round):.2f}-{max(by_round):.2f})"


def write_csv(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write one line per measurement."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for m in measurements:
            p50_ms, p99_ms = np.percentile(m.samples_ms, (50, 99))
            writer.writerow(
                [m.round, m.subject, m.executor, m.rate_hz]
                + [len(m.samples_ms), m.num_lost, m.num_foreign]
                + [f"{value:.4f}" for value in (p50_ms, p99_ms, m.samples_ms.max())]
                + [f"{m.cpu_percent:.2f}", f"{m.load_average_1min:.2f}"]
            )


def write_summary(path: Path, summary: dict[str, object]) -> None:
    """Write what was found as JSON."""
    path.write_text(json.dumps(summary, indent=2) + "\n")
