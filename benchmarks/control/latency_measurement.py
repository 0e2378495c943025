"""One measurement: a node under test in its own process, driven from here."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.control.latency_report import Measurement
from benchmarks.control.robot_driver import NUM_POSES, BenchmarkError, Poses, Record, RobotDriver

WARM_UP_S = 1.0
# Shorter than a reading's greatest age: after a longer silence the node sends its safe command.
DRAIN_S = 0.05
ROOT = Path(__file__).resolve().parents[2]
POLICY_NODE = "from sac_ros.nodes.process.executables import policy_node; policy_node()"


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
    action_dim: int
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


@contextmanager
def _node(bench: Bench, subject: Subject, executor: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the node under test in a process of its own."""
    parameters = [f"executor:={executor}", *subject.parameters]
    if subject.is_policy:
        program = ["-c", POLICY_NODE]
        parameters += [f"policy:={bench.policy}", "autostart:=true"]
    else:
        program = [str(Path(__file__).with_name("bare_echo_node.py"))]
        period_s = 1.0 / bench.rate_hz if subject.is_timed else 0.0
        parameters += [f"command_length:={bench.action_dim}", f"timer_period_s:={period_s}"]
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
