"""Run the whole demo again and again on a machine that is disturbed, one row a demo.

    python -m benchmarks.control.demo_on_busy_machine
    python -m benchmarks.control.demo_on_busy_machine --conditions "policy stopped" --runs 3

Rows are added to the CSV file as demos end. The same command goes on where it was stopped: it runs
only the demos that have no row. Training is a function of its seed, whatever the machine is doing,
so each seed is trained once and its policy runs under every condition; --train-each trains anew.
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.control.disturbances import CONDITIONS, disturbing
from benchmarks.machine import describe_machine
from sac_ros.errors import InputError
from sim_training.demos.demo_nodes import ended_by_sigterm
from sim_training.terminal.options import parse_options

POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person types."""

    conditions: tuple[str, ...] = tuple(CONDITIONS)
    """Disturbances, by name."""
    runs: int = 10
    """Demos under each condition, with seeds 1, 2, 3 and so on."""
    side_by_side: int = 2
    """Demos that run at the same time; each of them is a further load on the others."""
    train_each: bool = False
    """Train in every demo, instead of once for each seed."""
    table: Path = Path("docs/results/demo_on_busy_machine.csv")
    """CSV file with a row for each demo."""
    folder: Path = Path("runs/demo_on_busy_machine")
    """Folder for the demos and their logs."""

    def __post_init__(self) -> None:
        """Refuse unknown conditions and counts below one."""
        unknown = sorted(set(self.conditions) - CONDITIONS.keys())
        if unknown:
            raise ValueError(f"unknown conditions {unknown}, choose from {list(CONDITIONS)}")
        for name in ("runs", "side_by_side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One demo."""

    condition: str
    seed: int
    passed: bool
    """Whether the demo's exit status was 0."""
    returns_over_ros: str
    """Of each episode in real time; 1000 is the greatest."""
    latency_ms: float | None
    """Median time from the publication of an observation to that of its command."""
    latency_p99_ms: float | None
    control_period_p99_s: float | None
    lost_transitions: int | None
    broken_episodes: int | None
    trained: bool
    """Whether it trained its policy, or ran the one of the same seed under another condition."""
    wall_s: float
    """Of the whole demo."""
    disturbances: int
    """Installs, or stops of a process, while the demos of this batch ran."""
    side_by_side: int
    load_average_1min: float
    """At the end of the demo."""
    commit: str
    machine: str
    error: str
    """Last line of a demo that ended without a summary."""


def main() -> int:
    """Run what is missing; return 0 if every demo in the table passed."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="demo_on_busy_machine.py",
            description="Run the demo under disturbances and count how often it passes.",
        )
        with ended_by_sigterm():
            _run_missing(options)
    except InputError as error:
        print(f"demo_on_busy_machine.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    rows = _read(options.table)
    for condition in options.conditions:
        results = [row["passed"] == "True" for row in rows if row["condition"] == condition]
        print(f"{condition}: {sum(results)} of {len(results)} passed")
    return 0 if all(row["passed"] == "True" for row in rows) else 1


def _run_missing(options: Options) -> None:
    """Run batches of demos, the conditions in turns, so that all have about as many rows."""
    present = {(row["condition"], int(row["seed"])) for row in _read(options.table)}
    for first in range(1, options.runs + 1, options.side_by_side):
        seeds = range(first, min(first + options.side_by_side, options.runs + 1))
        for condition in options.conditions:
            missing = [seed for seed in seeds if (condition, seed) not in present]
            if missing:
                for row in _run_batch(condition, missing, options):
                    _append(row, options.table)
                    print(f"{condition}, seed {row.seed}: {row.returns_over_ros}", flush=True)


def _run_batch(condition: str, seeds: Sequence[int], options: Options) -> Iterator[Row]:
    folder = options.folder / condition.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    reused = {} if options.train_each else _trained_policies(options.folder, seeds)
    demos = [_start(seed, folder, reused.get(seed)) for seed in seeds]
    try:
        with disturbing(condition, demos, folder) as disturbance:
            waiting = dict(zip(seeds, demos, strict=True))
            while waiting:
                time.sleep(POLL_S)
                for seed, demo in list(waiting.items()):
                    if demo.poll() is None:
                        continue
                    del waiting[seed]
                    yield _row(
                        condition,
                        seed,
                        folder,
                        passed=demo.returncode == 0,
                        trained=seed not in reused,
                        wall_s=time.monotonic() - began_s,
                        disturbances=disturbance.count,
                        side_by_side=len(seeds),
                    )
    finally:
        for demo in demos:
            demo.terminate()
            demo.wait()


def _trained_policies(folder: Path, seeds: Sequence[int]) -> dict[int, Path]:
    """Return the finished training of each seed, under whichever condition it was trained."""
    return {
        seed: policy.parent
        for seed in seeds
        for policy in sorted(folder.glob(f"*/seed_{seed}/training/policy.onnx"))[:1]
    }


def _start(seed: int, folder: Path, training: Path | None) -> "subprocess.Popen[bytes]":
    program = "from sac_ros.command_line import main; main()"
    out = folder / f"seed_{seed}"
    (out / "summary.json").unlink(missing_ok=True)
    reuse = () if training is None else ("--training", str(training))
    with (folder / f"seed_{seed}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-c", program, "demo", "--seed", str(seed), "--out", str(out), *reuse],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _row(
    condition: str,
    seed: int,
    folder: Path,
    *,
    passed: bool,
    trained: bool,
    wall_s: float,
    disturbances: int,
    side_by_side: int,
) -> Row:
    summary_path = folder / f"seed_{seed}" / "summary.json"
    summary = json.loads(summary_path.read_text()) if summary_path.exists() else {}
    lines = (folder / f"seed_{seed}.log").read_text().strip().splitlines()
    machine = describe_machine(())
    return Row(
        condition=condition,
        seed=seed,
        passed=passed,
        returns_over_ros=" ".join(f"{r:.0f}" for r in summary.get("returns_over_ros", [])),
        latency_ms=_rounded(summary.get("latency_ms"), 2),
        latency_p99_ms=_rounded(summary.get("latency_p99_ms"), 2),
        control_period_p99_s=_rounded(summary.get("control_period_p99_s"), 4),
        lost_transitions=summary.get("lost_transitions"),
        broken_episodes=summary.get("broken_episodes"),
        trained=trained,
        wall_s=round(wall_s, 1),
        disturbances=disturbances,
        side_by_side=side_by_side,
        load_average_1min=round(os.getloadavg()[0], 1),
        commit=machine.git_commit,
        machine=f"{machine.num_cores} cores of {machine.cpu}",
        error="" if summary else (lines[-1] if lines else "no output"),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _read(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(row: Row, table: Path) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    is_new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(row))


if __name__ == "__main__":
    sys.exit(main())
