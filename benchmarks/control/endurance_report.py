"""Report of the long run: one row for each sample, a verdict, a figure."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.control.command_observer import CommandObserver
from benchmarks.control.memory_watch import Usage, growth
from benchmarks.control.scheduling_stalls import Spans, describe

MAX_GROWTH = 0.02
"""Share by which any process's own memory may grow after the warm-up."""
MAX_GARBAGE_PERIODS = 0.5
"""Most processor time of one collection of the policy node's garbage, in control periods: a longer
one would make a missed tick by itself. In a pause that lasts longer than that somebody else ran, as
in any other moment."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All processes at one moment."""

    LEARNING: ClassVar = (
        "updates",
        "updates owed",
        "updates dropped",
        "robot steps",
        "transitions lost",
        "version",
    )

    at_s: float
    """Since the first command."""
    load_average_1min: float
    usage: Mapping[str, Usage]
    """By process."""
    garbage_max_ms: float
    """The policy node's longest pause since the last sample."""
    learning: Mapping[str, str]
    num_commands: int

    @classmethod
    def columns(cls, processes: Iterable[str]) -> list[str]:
        """Return the names of the columns of `row`."""
        of_process = [f"{p}.{name}" for p in processes for name in Usage.__dataclass_fields__]
        return ["at_s", "load", *of_process, "garbage_max_ms", "commands", *cls.LEARNING]

    def row(self) -> dict[str, str]:
        """Return this sample as a row of a table."""
        usage = {
            f"{process}.{name}": f"{value:.3f}"
            for process, used in self.usage.items()
            for name, value in asdict(used).items()
        }
        return {
            "at_s": f"{self.at_s:.1f}",
            "load": f"{self.load_average_1min:.2f}",
            **usage,
            "garbage_max_ms": f"{self.garbage_max_ms:.3f}",
            "commands": str(self.num_commands),
            **self.learning,
        }

    def in_words(self) -> str:
        """Return one line of progress."""
        memory = ", ".join(f"{name} {used.own_mib:.1f} MiB" for name, used in self.usage.items())
        return (
            f"{self.num_commands} commands, {self.learning['updates']} updates, version"
            f" {self.learning['version']}, {memory}, load {self.load_average_1min:.1f}"
        )


def conclude(
    observer: CommandObserver,
    samples: Sequence[Sample],
    stalls: Spans | None,
    warm_up_s: float,
    begin_ns: int,
) -> dict[str, object]:
    """Return the figures and whether the goals hold, ready for JSON."""
    warm = [sample for sample in samples if sample.at_s >= warm_up_s]
    grown = {
        name: growth([s.at_s for s in warm], [s.usage[name].own_mib for s in warm])
        for name in warm[0].usage
    }
    elapsed_s = warm[-1].at_s - warm[0].at_s
    ticks = observer.missed_ticks(begin_ns, stalls)
    reports = [report for report in observer.reports if report.stamp_ns >= begin_ns]
    garbage_work_ms = reports[-1].garbage_work_ms
    first, last = warm[0].learning, warm[-1].learning
    loads = [sample.load_average_1min for sample in samples]
    goals = {
        "memory": all(one.share <= MAX_GROWTH for one in grown.values()),
        "missed_ticks": ticks.unseen == 0,
        "garbage": garbage_work_ms <= 1e3 * MAX_GARBAGE_PERIODS * observer.period_s,
    }
    return {
        "goals_hold": all(goals.values()),
        "goals": goals,
        "minutes": samples[-1].at_s / 60.0,
        "warm_up_s": warm_up_s,
        "load_average_1min": [min(loads), float(np.mean(loads)), max(loads)],
        "memory_growth": {name: {"share": one.share, **asdict(one)} for name, one in grown.items()},
        "cpu_percent": {
            name: 100.0 * (warm[-1].usage[name].cpu_s - warm[0].usage[name].cpu_s) / elapsed_s
            for name in grown
        },
        "missed_ticks": asdict(ticks),
        "stalls": describe(stalls),
        "reactions_to_late_ticks": reports[-1].late_ticks - reports[0].late_ticks,
        "period_ms": _spread(observer.periods_ms(begin_ns)),
        "garbage": {
            "collections": reports[-1].num_collections - reports[0].num_collections,
            "most_processor_time_ms": garbage_work_ms,
            "longest_ms": max(report.garbage_max_ms for report in reports),
            "p99_of_seconds_longest_ms": float(
                np.percentile([report.garbage_max_ms for report in reports], 99)
            ),
        },
        "learner": {
            "updates_per_s": (int(last["updates"]) - int(first["updates"])) / elapsed_s,
            "seconds_without_an_update_owed": sum(
                int(sample.learning["updates owed"]) == 0 for sample in warm
            ),
            "updates_dropped": int(last["updates dropped"]) - int(first["updates dropped"]),
            "robot_steps": int(last["robot steps"]) - int(first["robot steps"]),
            "transitions_lost": int(last["transitions lost"]) - int(first["transitions lost"]),
            "policies_sent": int(last["version"]) - int(first["version"]),
        },
    }


def print_verdict(console: Console, verdict: Mapping[str, object]) -> None:
    """Print all figures, a line each."""
    for name, value in verdict.items():
        if name != "memory_growth":
            console.print(f"{name}: {value}")
    for process, one in verdict["memory_growth"].items():  # type: ignore[attr-defined]
        console.print(
            f"{process}: {one['begin_mib']:.1f} MiB after the warm-up, {one['share']:+.2%},"
            f" {one['mib_per_hour']:+.2f} MiB/h, peak {one['peak_mib']:.1f} MiB"
        )


def write_seconds(observer: CommandObserver, begin_ns: int, path: Path) -> None:
    """Write both counts of missed ticks and the collector's pauses at each report of the node."""
    reports = [report for report in observer.reports if report.stamp_ns >= begin_ns]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at_s", "counted", "observed", "garbage_p99_ms", "garbage_max_ms"])
        for report, observed in zip(reports, observer.observed_until(reports), strict=True):
            writer.writerow(
                [
                    f"{(report.stamp_ns - begin_ns) * 1e-9:.2f}",
                    report.missed_ticks,
                    observed,
                    report.garbage_p99_ms,
                    report.garbage_max_ms,
                ]
            )


def plot(
    observer: CommandObserver,
    samples: Sequence[Sample],
    warm_up_s: float,
    begin_ns: int,
    path: Path,
) -> None:
    """Draw memory, periods, missed ticks and the collector's pauses."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = np.array([sample.at_s for sample in samples]) / 60.0
    figure, ((memory, periods), (missed, garbage)) = pyplot.subplots(
        2, 2, figsize=(12.0, 7.5), layout="constrained"
    )
    for name in samples[0].usage:
        mib = np.array([sample.usage[name].own_mib for sample in samples])
        begin = float(np.median(mib[minutes * 60.0 >= warm_up_s][:5]))
        memory.plot(minutes, 100.0 * (mib / begin - 1.0), label=f"{name}, {begin:.0f} MiB")
    memory.axvline(warm_up_s / 60.0, color="grey", linestyle=":")
    memory.axhline(100.0 * MAX_GROWTH, color="grey", linestyle="--")
    memory.set(xlabel="minutes", ylabel="unique memory, % over end of warm-up", ylim=(-10.0, 10.0))
    memory.legend()

    periods.hist(observer.periods_ms(begin_ns), bins=200, log=True)
    periods.axvline(1.5e3 * observer.period_s, color="grey", linestyle="--")
    periods.set(xlabel="time between two commands, ms", ylabel="commands")

    reports = [report for report in observer.reports if report.stamp_ns >= begin_ns]
    at_minutes = [(report.stamp_ns - begin_ns) / 60e9 for report in reports]
    counted = [report.missed_ticks - reports[0].missed_ticks for report in reports]
    missed.plot(at_minutes, counted, label="missed ticks, counted by the node")
    missed.plot(at_minutes, observer.observed_until(reports), "--", label="seen from outside")
    load = missed.twinx()
    load.plot(minutes, [sample.load_average_1min for sample in samples], color="lightgrey")
    load.set(ylabel="load average, 1 min")
    missed.set(xlabel="minutes", ylabel="missed ticks so far")
    missed.legend()

    garbage.plot(at_minutes, [report.garbage_max_ms for report in reports], ".", markersize=3)
    garbage.set(xlabel="minutes", ylabel="longest pause of the collector in a second, ms")
    garbage.set_ylim(bottom=0.0)
    for axes in (memory, periods, missed, garbage):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{1.0 / observer.period_s:g} Hz beside a learner at full load")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _spread(samples: NDArray[np.float64]) -> dict[str, float]:
    p50, p99, p999 = np.percentile(samples, (50.0, 99.0, 99.9))
    return {
        "p50": float(p50),
        "p99": float(p99),
        "p99.9": float(p999),
        "max": float(samples.max()),
    }
