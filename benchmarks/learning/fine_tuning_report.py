"""Report the runs of benchmarks.learning.fine_tuning: a table of points, one of runs, curves."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean

COLOURS = {"ours": "tab:green", "naive": "tab:orange", "from_scratch": "tab:gray"}
STYLES = {"dds": "-", "dds_real_time": "--", "in_process": ":"}
NAMES = {"dds": "DDS", "dds_real_time": "DDS in real time", "in_process": "no ROS"}
EARLY_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement of one run, most likely actions."""

    robot_steps: int
    return_mean: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as it was recorded."""

    shift: str
    arm: str
    seed: int
    transport: str
    policy: str
    robot_steps: int
    updates: int
    """Taken on the robot: divided by the robot steps, the update-to-data ratio that was kept."""
    wall_s: float
    real_time_factor: float | None
    missed_ticks: int | None
    lost_transitions: int | None
    live_returns: list[tuple[int, int, float]]
    """Robot steps, policy version and return of each episode, exploration included."""
    points: list[Point]
    best_kept: float | None = None
    """Return of the policy that the learner kept as its best, measured like the points."""

    @property
    def frozen(self) -> float:
        """Return of the policy as it came."""
        return self.points[0].return_mean

    def at(self, robot_steps: int) -> float | None:
        """Return what was measured after so many robot steps, if it was."""
        found = [p.return_mean for p in self.points if p.robot_steps == robot_steps]
        return found[0] if found else None

    def worst_early(self) -> float:
        """Return the least measurement of the first 10,000 robot steps."""
        return min(p.return_mean for p in self.points if p.robot_steps <= EARLY_STEPS)


def read_runs(folder: Path) -> list[Run]:
    """Return every run recorded in a folder."""
    runs = []
    for path in sorted(folder.glob("run-*.json")):
        record = json.loads(path.read_text())
        values = {field.name: record[field.name] for field in fields(Run) if field.name in record}
        runs.append(Run(**values | {"points": [Point(**point) for point in record["points"]]}))
    return runs


def write_report(runs: Sequence[Run], out: Path) -> None:
    """Write fine_tuning.csv (points), fine_tuning_runs.csv and fine_tuning.png."""
    with (out / "fine_tuning.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("shift", "arm", "seed", "transport", "robot_steps", "return_mean"))
        for run in runs:
            for p in run.points:
                name = (run.shift, run.arm, run.seed, run.transport)
                writer.writerow((*name, p.robot_steps, round(p.return_mean, 1)))
    rows = [summary(run, ceiling_of(run.shift, runs)) for run in runs if run.arm != "ceiling"]
    if rows:
        with (out / "fine_tuning_runs.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        for row in rows:
            print(row)
    _plot(out / "fine_tuning.png", runs)


def ceiling_of(shift: str, runs: Sequence[Run]) -> float | None:
    """Return the mean return of policies trained in the shifted simulator, if one was measured."""
    found = [run.frozen for run in runs if (run.shift, run.arm) == (shift, "ceiling")]
    return fmean(found) if found else None


def summary(run: Run, ceiling: float | None) -> dict[str, object]:
    """Return one row: shares of the gap between frozen and ceiling, and what was kept."""
    return {
        "shift": run.shift,
        "arm": run.arm,
        "seed": run.seed,
        "transport": run.transport,
        "frozen": round(run.frozen),
        "ceiling": None if ceiling is None else round(ceiling),
        "at_25000": _rounded(run.at(25_000)),
        "at_50000": _rounded(run.at(50_000)),
        "best_kept": _rounded(run.best_kept),
        "recovered_25000": _recovered(run, ceiling, 25_000),
        "recovered_50000": _recovered(run, ceiling, 50_000),
        "worst_of_first_10000_over_frozen": round(run.worst_early() / run.frozen, 3),
        "last_over_frozen": round(run.points[-1].return_mean / run.frozen, 3),
        "robot_steps": run.robot_steps,
        "updates_per_step": round(run.updates / run.robot_steps, 3),
        "missed_ticks": run.missed_ticks,
        "lost_transitions": run.lost_transitions,
        "real_time_factor": run.real_time_factor,
        "wall_s": round(run.wall_s),
    }


def _recovered(run: Run, ceiling: float | None, robot_steps: int) -> float | None:
    measured = run.at(robot_steps)
    if ceiling is None or measured is None or ceiling <= run.frozen:
        return None
    return round((measured - run.frozen) / (ceiling - run.frozen), 3)


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _plot(path: Path, runs: Sequence[Run]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shifts = sorted({run.shift for run in runs})
    if not shifts:
        return
    figure, grid = pyplot.subplots(
        1, len(shifts), figsize=(5.5 * len(shifts), 4.0), squeeze=False, layout="constrained"
    )
    for axes, shift in zip(grid[0], shifts, strict=True):
        named: set[str] = set()
        for run in (run for run in runs if run.shift == shift and run.arm != "ceiling"):
            name = f"{run.arm.replace('_', ' ')}, {NAMES[run.transport]}"
            axes.plot(
                [p.robot_steps for p in run.points],
                [p.return_mean for p in run.points],
                STYLES[run.transport],
                color=COLOURS[run.arm],
                label=None if name in named else name,
            )
            frozen = None if "frozen" in named else "frozen"
            axes.axhline(run.frozen, color="tab:red", lw=0.8, label=frozen)
            named |= {name, "frozen"}
        ceiling = ceiling_of(shift, runs)
        if ceiling is not None:
            axes.axhline(ceiling, color="tab:blue", ls="--", label="ceiling")
        axes.set(title=shift, xlabel="robot steps", ylabel="return, most likely actions")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
