"""Does control wait for learning? Ticks and latency of a policy node beside a learner at full load.

Ticks: an arm at --rate-hz for --minutes, counted by the stamps and numbers of the commands from
outside. Of the missed ticks, it counts those that only a scheduling stall made late: a time in
which not even a process of the highest priority ran. Latency: sensor message to command, as
benchmarks.control.policy_latency measures it, without a learner and beside one in turns. The
learner is always behind: an update is pending at any moment.

    python -m benchmarks.control.control_beside_learning --minutes 10
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console

from benchmarks.control.command_observer import CommandObserver
from benchmarks.control.latency_measurement import POLICY, Bench, Subject, measure
from benchmarks.control.latency_report import Measurement, print_table, summarise, write_csv
from benchmarks.control.learning_robot import (
    STARTUP_S,
    nodes,
    wait_for_commands,
    wait_for_log,
    write_task,
)
from benchmarks.control.memory_watch import usage_of
from benchmarks.control.robot_driver import make_poses
from benchmarks.control.scheduling_stalls import describe, watching
from benchmarks.machine import describe_machine
from benchmarks.untrained_run import UntrainedRun, write_untrained_run
from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import load_task
from sim_training.demos.demo_nodes import node_process, own_environment
from sim_training.terminal.options import parse_options

PACKAGES = ("rclpy", "rmw-fastrtps-cpp", "onnxruntime", "numpy", "torch", "mujoco")
LATENCY_TASK = "half_cheetah"
"""The task of benchmarks/control/policy_latency.py."""
RATIO_LIMIT = 1.5
BUFFER_CAPACITY = 200_000
ALONE = replace(POLICY, name="policy", baseline="policy")
BESIDE = Subject(
    name="policy beside a learner",
    baseline="policy",
    is_policy=True,
    is_timed=False,
    parameters=(
        "act_on:=observation",
        "learner:=learner_node",
        "max_action_change:=2.0",
        # New policies are verified as ever, but wait: answers must be told by the first one's.
        "baseline_episodes:=1000",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    minutes: float = 10.0
    """How long the ticks are counted; 0 leaves them out."""
    rate_hz: float = 100.0
    """Control steps a second."""
    rounds: int = 3
    """How often the latency is measured without and beside the learner; 0 leaves it out."""
    seconds: float = 20.0
    """Length of one measurement of the latency."""
    compiled: bool = True
    """Compile the learner's updates, as it does by default."""
    realtime_priority: int = 0
    """Of the policy node, everywhere, and of the simulated robot: see the node's parameter."""
    out: Path = Path("runs/control_beside_learning")
    """Folder for summary.json, latencies.csv and the nodes' logs."""

    def __post_init__(self) -> None:
        """Reject options that measure nothing."""
        if self.minutes < 0.0 or self.rounds < 0 or not (self.minutes or self.rounds):
            raise ValueError("minutes and rounds must not be negative, nor both be 0")
        if not (10.0 <= self.rate_hz <= 1000.0 and self.seconds > 0.0):
            raise ValueError("rate_hz must be 10 to 1000, and seconds positive")


def count_ticks(options: Options, console: Console) -> dict[str, object]:
    """Run the arm beside its learner for the whole time; return what was missed."""
    folder = options.out.resolve() / "ticks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task = write_task(folder, options.rate_hz)
    run = write_untrained_run(folder, task, buffer_capacity=BUFFER_CAPACITY, command=_command())
    max_commands = round(2.0 * options.rate_hz * (60.0 * options.minutes + STARTUP_S))
    with (
        nodes(
            folder,
            run,
            realtime_priority=options.realtime_priority,
            compiled=options.compiled,
            record=False,
        ) as processes,
        CommandObserver(task.control_period_s, max_commands) as observer,
        watching(folder, options.realtime_priority + 1) as stall_watch,
    ):
        wait_for_commands(observer, processes, folder)
        learner = processes["learner_node"].pid
        # What the learner says is a second old; the first of its reports must be of now.
        _listen(observer, 2.0)
        began_s, begin_ns = time.monotonic(), time.time_ns()
        cpu_s, updates = usage_of(learner).cpu_s, int(observer.learning["updates"])
        num_idle = 0
        for minute in range(max(1, round(60.0 * options.minutes))):
            _listen(observer, 1.0)
            num_idle += int(observer.learning["updates owed"]) == 0
            if minute % 60 == 59:
                ticks = observer.missed_ticks(begin_ns)
                console.print(
                    f"{(minute + 1) // 60} min: {ticks.num_commands} commands, {ticks.observed}"
                    f" missed, load {os.getloadavg()[0]:.1f}",
                    style="dim",
                )
        passed_s = time.monotonic() - began_s
        stalls = stall_watch.stop()
        ticks = observer.missed_ticks(begin_ns, stalls)
        periods_ms = observer.periods_ms(begin_ns)
        return {
            "minutes": passed_s / 60.0,
            **asdict(ticks),
            **describe(stalls),
            "period_ms_max": float(periods_ms.max()),
            "period_ms_p99": float(np.percentile(periods_ms, 99)),
            "learner_cpu_percent": 100.0 * (usage_of(learner).cpu_s - cpu_s) / passed_s,
            "learner_updates_per_s": (int(observer.learning["updates"]) - updates) / passed_s,
            "seconds_without_an_update_owed": num_idle,
            "policies_let_in": int(observer.policy["swaps"]),
        }


def measure_latency(options: Options, console: Console) -> Iterator[Measurement]:
    """Yield a measurement without and one beside the learner, in turns."""
    folder = options.out.resolve() / "latency"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task = replace(load_task(LATENCY_TASK), control_period_s=1.0 / options.rate_hz)
    run = write_untrained_run(folder, task, buffer_capacity=BUFFER_CAPACITY, command=_command())
    bench = Bench(
        rate_hz=options.rate_hz,
        action_dim=task.action_dim,
        seconds=options.seconds,
        policy=run.policy,
        poses=make_poses(OnnxPolicy.load(run.policy)),
        namespace="/",
        log=folder / "policy_node.log",
    )
    for round_number in range(options.rounds):
        yield _measure(bench, ALONE, options, round_number, console)
        with _learner(folder, run, options.compiled) as learner:
            cpu_s, began_s = usage_of(learner.pid).cpu_s, time.monotonic()
            yield _measure(bench, BESIDE, options, round_number, console)
            busy = (usage_of(learner.pid).cpu_s - cpu_s) / (time.monotonic() - began_s)
            console.print(f"the learner kept {busy:.2f} of a core busy", style="dim")


def verdict(ticks: Mapping[str, object], ratios: tuple[float, float] | None) -> dict[str, bool]:
    """Return which of the goals that were measured hold."""
    goals = {}
    if ticks:
        goals["no_missed_tick"] = ticks["observed"] == 0 and ticks["never_came"] == 0
    if ratios is not None:
        goals["latency"] = max(ratios) <= RATIO_LIMIT
    return goals


def main() -> int:
    """Measure, print, write; return 0 if the goals hold, else 1."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="control_beside_learning.py",
            description=__doc__.partition("\n")[0],
        )
        return _run(options)
    except (InputError, OSError) as error:
        print(f"control_beside_learning.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: Options) -> int:
    console = Console(width=130)
    machine = describe_machine(PACKAGES)
    options.out.mkdir(parents=True, exist_ok=True)
    with own_environment():
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        latencies = list(measure_latency(options, console)) if options.rounds else []
        ticks = count_ticks(options, console) if options.minutes else {}
        rclpy.try_shutdown()
    rows = summarise(latencies)
    ratios = None
    if rows:
        print_table(console, "Sensor message in -> command out", rows)
        write_csv(options.out / "latencies.csv", latencies)
        beside = next(row for row in rows if row.subject == BESIDE.name)
        ratios = (beside.p50_ratio, beside.p99_ratio)
    goals = verdict(ticks, ratios)
    summary = {
        "command": _command(),
        "machine": asdict(machine),
        "goals": goals,
        "ticks": ticks,
        "latency": [asdict(row) for row in rows],
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for name, value in (*ticks.items(), *goals.items()):
        console.print(f"{name}: {value}")
    console.print(f"wrote {options.out}/summary.json")
    return 0 if all(goals.values()) else 1


def _measure(
    bench: Bench, subject: Subject, options: Options, round_number: int, console: Console
) -> Measurement:
    priority = f"realtime_priority:={options.realtime_priority}"
    subject = replace(subject, parameters=(*subject.parameters, priority))
    found = measure(bench, subject, "events", round_number)
    p50_ms, p99_ms = np.percentile(found.samples_ms, (50, 99))
    console.print(
        f"round {round_number + 1}/{options.rounds}, {subject.name}: p50 {p50_ms:.3f} ms, p99"
        f" {p99_ms:.3f} ms, lost {found.num_lost}, load {found.load_average_1min:.1f}",
        style="dim",
    )
    return found


@contextmanager
def _learner(
    folder: Path, run: UntrainedRun, compiled: bool
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a learner that is at full load as soon as it hears a step."""
    with node_process(
        "learner_node",
        folder,
        *(f"policy:={run.policy}", f"checkpoint:={run.checkpoint}", f"config:={run.recipe}"),
        *(f"out:={folder / 'robot'}", "publish_period_s:=1.0"),
        f"compiled:={str(compiled).lower()}",
    ) as process:
        wait_for_log(process, folder, "compiled in" if compiled else "learning for task")
        yield process


def _listen(observer: CommandObserver, duration_s: float) -> None:
    end_s = time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0.0:
        observer.listen(left_s)
        if observer.learning.get("paused"):
            observer.resume_learning()


def _command() -> str:
    return shlex.join(["python", *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
