"""Measure how long a policy node takes from sensor message to command, over DDS.

A bare rclpy node that only subscribes and publishes takes turns with it: the ratio is the cost of
the policy. With a fixed-rate timer, the jitter of the ticks takes the place of the latency.

    python -m benchmarks.control.policy_latency
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
from rich.console import Console

from benchmarks.control.latency_measurement import (
    BARE_TIMER,
    POLICY,
    POLICY_TIMER,
    SUBJECTS,
    Bench,
    measure,
)
from benchmarks.control.latency_report import (
    Measurement,
    Row,
    print_table,
    summarise,
    write_csv,
    write_summary,
)
from benchmarks.control.robot_driver import make_poses
from benchmarks.machine import Machine, describe_machine
from benchmarks.random_policy import write_random_policy
from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import load_task
from sim_training.terminal.options import parse_options

TASK = "half_cheetah"
RATIO_LIMIT = 1.5
SOUND_EXECUTORS = ("events", "single")
"""MultiThreadedExecutor queues work without bound (rclpy issue 1452): unfit to control a robot."""
# Below, a reading is too old before the next one comes; above, this driver cannot keep up.
LEAST_RATE_HZ, GREATEST_RATE_HZ = 20.0, 2000.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    seconds: float = 4.0
    """Length of one measurement."""
    rounds: int = 4
    """How often each node takes its turn."""
    rates: tuple[float, ...] = (100.0, 500.0)
    """Joint states, and control steps, a second."""
    executors: tuple[Literal["events", "single", "multi"], ...] = ("events", "single", "multi")
    """rclpy's executors, for the node under test; the driver always uses the same one."""
    out: Path = Path("runs/policy_latency")
    """Folder for summary.json, measurements.csv and the nodes' log."""

    def __post_init__(self) -> None:
        """Reject options that cannot be measured."""
        if not (self.seconds > 0.0 and self.rounds > 0 and self.rates and self.executors):
            raise ValueError("seconds and rounds must be positive, rates and executors not empty")
        if not all(LEAST_RATE_HZ <= rate_hz <= GREATEST_RATE_HZ for rate_hz in self.rates):
            raise ValueError(
                f"rates must be {LEAST_RATE_HZ:g} to {GREATEST_RATE_HZ:g} Hz, got {self.rates}"
            )


def goal_lines(rows: list[Row]) -> tuple[list[str], bool]:
    """Say for each rate whether the fastest sound executor keeps the limit."""
    lines, holds = [], True
    policy_rows = [r for r in rows if r.subject == POLICY.name and r.executor in SOUND_EXECUTORS]
    for rate_hz in dict.fromkeys(row.rate_hz for row in policy_rows):
        fastest = min((r for r in policy_rows if r.rate_hz == rate_hz), key=lambda r: r.p50_ms)
        kept = max(fastest.p50_ratio, fastest.p99_ratio) <= RATIO_LIMIT
        holds = holds and kept
        lines.append(
            f"{rate_hz:g} Hz, {fastest.executor}: p50 {fastest.p50_ratio:.2f} x, p99"
            f" {fastest.p99_ratio:.2f} x the bare echo; goal <= {RATIO_LIMIT}:"
            f" {'kept' if kept else 'MISSED'}"
        )
    return lines, holds and bool(lines)


def main() -> int:
    """Measure everything in turns, print the tables, write the files."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="policy_latency.py",
            description="Time a policy node from sensor message to command, beside a bare echo.",
        )
        _run(options)
    except (InputError, OSError) as error:
        print(f"policy_latency.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: Options) -> None:
    console = Console(width=max(130, Console().width))
    machine = describe_machine(("rclpy", "rmw-fastrtps-cpp", "onnxruntime", "numpy"))
    _print_machine(console, machine)
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init()
    with tempfile.TemporaryDirectory() as folder:
        benches = [_make_bench(options, rate_hz, Path(folder)) for rate_hz in options.rates]
        measurements = list(_measure_all(options, benches, console))
    rclpy.try_shutdown()
    rows = summarise(measurements)
    timed = {BARE_TIMER.name, POLICY_TIMER.name}
    print_table(
        console,
        "Sensor message in -> command out, over DDS between two processes",
        [row for row in rows if row.subject not in timed],
    )
    print_table(
        console,
        "act_on: timer - deviation of the interval between two commands from the control period",
        [row for row in rows if row.subject in timed],
    )
    lines, holds = goal_lines(rows)
    console.print("\n".join(lines))
    write_csv(options.out / "measurements.csv", measurements)
    write_summary(
        options.out / "summary.json",
        {
            "command": shlex.join(["python", *sys.argv]),
            "machine": asdict(machine),
            "rmw": get_rmw_implementation_identifier(),
            "ratio_limit": RATIO_LIMIT,
            "goal_holds": holds,
            "rows": [asdict(row) for row in rows],
        },
    )
    console.print(f"wrote {options.out}/summary.json and measurements.csv")


def _measure_all(options: Options, benches: list[Bench], console: Console) -> Iterator[Measurement]:
    """Yield every measurement; a node and its baseline take turns, so both see the same noise."""
    for round_number in range(options.rounds):
        for bench in benches:
            for executor in options.executors:
                for subject in SUBJECTS:
                    found = measure(bench, subject, executor, round_number)
                    yield found
                    p50_ms, p99_ms = np.percentile(found.samples_ms, (50, 99))
                    console.print(
                        f"round {round_number + 1}/{options.rounds}, {bench.rate_hz:g} Hz,"
                        f" {executor}, {subject.name}: p50 {p50_ms:.3f} ms, p99 {p99_ms:.3f} ms,"
                        f" lost {found.num_lost}, load {found.load_average_1min:.1f}",
                        style="dim",
                    )


def _make_bench(options: Options, rate_hz: float, folder: Path) -> Bench:
    task = replace(load_task(TASK), control_period_s=1.0 / rate_hz)
    path = folder / f"{rate_hz:g}_hz.onnx"
    write_random_policy(path, task, command=shlex.join(["python", *sys.argv]))
    return Bench(
        rate_hz=rate_hz,
        action_dim=task.action_dim,
        seconds=options.seconds,
        policy=path,
        poses=make_poses(OnnxPolicy.load(path)),
        # Of its own, so that two runs in one ROS domain do not hear each other.
        namespace=f"/policy_latency_{os.getpid()}",
        log=options.out / "nodes.log",
    )


def _print_machine(console: Console, machine: Machine) -> None:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    console.print(
        f"{machine.cpu}, {machine.num_cores} cores, load average {machine.load_average_1min:.2f}"
        f" before the start\nPython {machine.python}, {packages}, commit {machine.git_commit}"
    )


if __name__ == "__main__":
    sys.exit(main())
