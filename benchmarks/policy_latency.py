"""Measure how long a policy node takes from sensor message to command, over DDS.

Beside it, in turns, runs a bare rclpy node that only subscribes and publishes: the ratio is what
the policy costs. With a fixed-rate timer, the jitter of the ticks takes the place of the latency.

    python benchmarks/policy_latency.py
"""

import gc
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import rclpy
from latency_report import (
    Measurement,
    Row,
    print_table,
    summarise,
    write_csv,
    write_summary,
)
from machine import Machine, describe_machine
from numpy.typing import NDArray
from random_policy import write_random_policy
from rclpy.utilities import get_rmw_implementation_identifier
from rich.console import Console
from robot_driver import NUM_POSES, BenchmarkError, Poses, Record, RobotDriver, make_poses

from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import load_task
from sim_training.options import parse_options

TASK = "half_cheetah"
RATIO_LIMIT = 1.5
SOUND_EXECUTORS = ("events", "single")
"""MultiThreadedExecutor queues work without bound (rclpy issue 1452): unfit to control a robot."""
WARM_UP_S = 1.0
# Shorter than a reading's greatest age: after a longer silence the node sends its safe command.
DRAIN_S = 0.05
ROOT = Path(__file__).resolve().parents[1]
POLICY_NODE = "from sac_ros.nodes.executables import policy_node; policy_node()"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person types."""

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


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A node under test, and what it is compared with."""

    name: str
    baseline: str
    is_policy: bool
    is_timed: bool
    parameters: tuple[str, ...] = ()


ECHO = Subject(name="bare echo", baseline="bare echo", is_policy=False, is_timed=False)
POLICY = Subject(
    name="policy",
    baseline="bare echo",
    is_policy=True,
    is_timed=False,
    parameters=("act_on:=observation",),
)
POLICY_ALONE = Subject(
    name="policy, transitions off",
    baseline="bare echo",
    is_policy=True,
    is_timed=False,
    parameters=("act_on:=observation", "publish_transitions:=false"),
)
BARE_TIMER = Subject(name="bare timer", baseline="bare timer", is_policy=False, is_timed=True)
POLICY_TIMER = Subject(
    name="policy timer",
    baseline="bare timer",
    is_policy=True,
    is_timed=True,
    parameters=("act_on:=timer",),
)
SUBJECTS = (ECHO, POLICY, POLICY_ALONE, BARE_TIMER, POLICY_TIMER)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all measurements at one rate share."""

    rate_hz: float
    seconds: float
    policy: Path
    poses: Poses
    namespace: str
    log: Path


def measure(bench: Bench, subject: Subject, executor: str, round_number: int) -> Measurement:
    """Start the node, warm it up, drive it, stop it."""
    answers = bench.poses.policy_answers if subject.is_policy else bench.poses.echo_answers
    times: Literal["arrival", "publication"] = "publication" if subject.is_timed else "arrival"
    with (
        _node(bench, subject, executor) as process,
        RobotDriver(bench.namespace, bench.poses.messages, bench.rate_hz, times) as driver,
        _no_garbage_collection(),
    ):
        driver.warm_up(answers, WARM_UP_S)
        started_s, cpu_before_s = time.monotonic(), _cpu_time_s(process.pid)
        driver.send(bench.seconds)
        cpu_s = _cpu_time_s(process.pid) - cpu_before_s
        window_s = time.monotonic() - started_s
        record = driver.record(DRAIN_S)
    if subject.is_timed:
        samples_ms, num_lost = tick_jitter_ms(record, bench.rate_hz)
        num_foreign = 0
    else:
        samples_ms, num_lost, num_foreign = latencies_ms(record, answers)
    if not len(samples_ms):
        raise BenchmarkError(f"{subject.name} on {executor}: nothing came back; see {bench.log}")
    return Measurement(
        round=round_number,
        subject=subject.name,
        baseline=subject.baseline,
        executor=executor,
        rate_hz=bench.rate_hz,
        samples_ms=samples_ms,
        num_lost=num_lost,
        num_foreign=num_foreign,
        cpu_percent=100.0 * cpu_s / window_s,
        load_average_1min=os.getloadavg()[0],
    )


def latencies_ms(record: Record, answers: list[float]) -> tuple[NDArray[np.float64], int, int]:
    """Return the time from publish call to callback of each answer, and lost and foreign counts.

    An answer is told from all others by its first entry, so that a late one is not taken for a
    quick answer to the next message.
    """
    pose_of = {answer: pose for pose, answer in enumerate(answers)}
    first, sent_ns = record.first, record.sent_ns
    latency_ns: dict[int, int] = {}
    num_foreign = 0
    for arrival_ns, entry in zip(record.received_ns.tolist(), record.received, strict=True):
        if arrival_ns < sent_ns[first]:
            continue
        if entry not in pose_of:
            num_foreign += 1
            continue
        newest = int(np.searchsorted(sent_ns, arrival_ns)) - 1
        number = newest - (newest - pose_of[entry]) % NUM_POSES
        if number >= first:
            latency_ns.setdefault(number, arrival_ns - int(sent_ns[number]))
    num_lost = len(sent_ns) - first - len(latency_ns)
    return np.array([*latency_ns.values()], dtype=np.float64) * 1e-6, num_lost, num_foreign


def tick_jitter_ms(record: Record, rate_hz: float) -> tuple[NDArray[np.float64], int]:
    """Return how far each interval between two commands is from the period, and missing ticks."""
    num_measured = len(record.sent_ns) - record.first
    published_ns = record.received_ns[-num_measured:]
    intervals_ms = np.diff(published_ns) * 1e-6
    period_ms = 1e3 / rate_hz
    num_missing = round(float(intervals_ms.sum()) / period_ms) - len(intervals_ms)
    return np.abs(intervals_ms - period_ms), max(0, num_missing)


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
        seconds=options.seconds,
        policy=path,
        poses=make_poses(OnnxPolicy.load(path)),
        # Of its own, so that two runs in one ROS domain do not hear each other.
        namespace=f"/policy_latency_{os.getpid()}",
        log=options.out / "nodes.log",
    )


@contextmanager
def _node(bench: Bench, subject: Subject, executor: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the node under test in a process of its own."""
    parameters = [f"executor:={executor}", *subject.parameters]
    if subject.is_policy:
        program = ["-c", POLICY_NODE]
        parameters += [f"policy:={bench.policy}", "autostart:=true"]
    else:
        program = [str(Path(__file__).with_name("bare_echo_node.py"))]
        action_dim = len(load_task(TASK).action.joints)
        period_s = 1.0 / bench.rate_hz if subject.is_timed else 0.0
        parameters += [f"command_length:={action_dim}", f"timer_period_s:={period_s}"]
    arguments = [argument for parameter in parameters for argument in ("-p", parameter)]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with bench.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "--ros-args", "-r", f"__ns:={bench.namespace}", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": paths},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep our own collections from being counted as the node's latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _cpu_time_s(pid: int) -> float:
    """Return the processor time a process has used so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print_machine(console: Console, machine: Machine) -> None:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    console.print(
        f"{machine.cpu}, {machine.num_cores} cores, load average {machine.load_average_1min:.2f}"
        f" before the start\nPython {machine.python}, {packages}, commit {machine.git_commit}"
    )


if __name__ == "__main__":
    sys.exit(main())
