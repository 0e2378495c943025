"""Run a robot and its learner for an hour; see what grows, and which ticks are missed.

Processes over DDS in real time: a simulated arm at --rate-hz, its policy node, a learner at full
load, whose policies start every two seconds, and a recorder. This process listens: it counts missed
ticks by the stamps and numbers of the commands, compares them with the count of the node, and
samples the memory of every process. Ctrl-C ends early and keeps the figures.

    python -m benchmarks.control.endurance --minutes 60
"""

import csv
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console

from benchmarks.control.command_observer import CommandObserver
from benchmarks.control.endurance_report import Sample, conclude, plot, print_verdict, write_seconds
from benchmarks.control.learning_robot import STARTUP_S, nodes, wait_for_commands, write_task
from benchmarks.control.memory_watch import NUM_PARTS, usage_of
from benchmarks.control.scheduling_stalls import watching
from benchmarks.machine import describe_machine
from benchmarks.untrained_run import write_untrained_run
from sac_ros.errors import InputError
from sim_training.demos.demo_nodes import DemoError, own_environment
from sim_training.terminal.options import parse_options
from sim_training.terminal.stop_request import StopRequest

PACKAGES = ("rclpy", "rmw-fastrtps-cpp", "onnxruntime", "numpy", "torch", "mujoco")
BUFFER_CAPACITY = 200_000
"""Transitions: an hour at 200 Hz fills the buffer, and writes over it several times."""
SAY_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    minutes: float = 60.0
    """How long all processes run together, warm-up included."""
    rate_hz: float = 200.0
    """Control steps a second."""
    warm_up_s: float = 600.0
    """Time at the beginning in which memory may still grow."""
    realtime_priority: int = 0
    """Of the policy node, and of the robot, which would be hardware: see the node's parameter."""
    compiled: bool = True
    """Compile the learner's updates, as it does by default."""
    record: bool = True
    """Record everything as an MCAP bag meanwhile, in OUT/bags."""
    out: Path = Path("runs/endurance")
    """Folder for summary.json, timeline.csv, seconds.csv, endurance.png and the nodes' logs."""

    def __post_init__(self) -> None:
        """Reject options that leave nothing to judge."""
        if not 10.0 <= self.rate_hz <= 1000.0:
            raise ValueError(f"rate_hz must be 10 to 1000, got {self.rate_hz:g}")
        if not (self.warm_up_s > 0.0 and 60.0 * self.minutes - self.warm_up_s >= 2 * NUM_PARTS):
            raise ValueError(
                f"the warm-up of {self.warm_up_s:g} s leaves less than {2 * NUM_PARTS} s of"
                f" {self.minutes:g} minutes"
            )

    @property
    def sample_period_s(self) -> float:
        """Time between two looks at the processes."""
        return max(1.0, 60.0 * self.minutes / 720.0)


def watch(
    options: Options,
    observer: CommandObserver,
    pids: dict[str, int],
    stop: StopRequest,
    console: Console,
) -> Iterator[Sample]:
    """Listen for the whole time; yield a sample of every process now and then."""
    began_s = printed_s = time.monotonic()
    due_s = began_s
    num_reports = 0
    while (elapsed_s := time.monotonic() - began_s) < 60.0 * options.minutes:
        if stop.received:
            console.print("ended early; what was measured is kept")
            return
        observer.listen(0.05)
        if observer.learning.get("paused"):
            observer.resume_learning()
        if time.monotonic() < due_s or not observer.learning:
            continue
        due_s = max(due_s + options.sample_period_s, time.monotonic())
        new, num_reports = observer.reports[num_reports:], len(observer.reports)
        sample = Sample(
            at_s=elapsed_s,
            load_average_1min=os.getloadavg()[0],
            usage={name: usage_of(pid) for name, pid in pids.items()},
            garbage_max_ms=max((report.garbage_max_ms for report in new), default=0.0),
            learning={name: observer.learning[name] for name in Sample.LEARNING},
            num_commands=observer.num_heard,
        )
        yield sample
        if time.monotonic() - printed_s > SAY_EVERY_S:
            printed_s = time.monotonic()
            console.print(f"{elapsed_s / 60.0:5.1f} min: {sample.in_words()}", style="dim")


def main() -> int:
    """Run, judge, draw; return 0 if the goals hold, 1 if not, 130 if it was ended early."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="endurance.py",
            description=__doc__.partition("\n")[0],
        )
        return _run(options)
    except (InputError, OSError) as error:
        print(f"endurance.py: {error}", file=sys.stderr)
        return 2


def _run(options: Options) -> int:
    console = Console()
    machine = describe_machine(PACKAGES)
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for of_earlier_run in ("robot", "bags"):  # a learner would go on with it
        shutil.rmtree(folder / of_earlier_run, ignore_errors=True)
    task = write_task(folder, options.rate_hz)
    command = shlex.join(["python", *sys.argv])
    run = write_untrained_run(folder, task, buffer_capacity=BUFFER_CAPACITY, command=command)
    max_commands = round(1.2 * options.rate_hz * (60.0 * options.minutes + STARTUP_S))
    samples: list[Sample] = []
    with (
        StopRequest() as stop,
        own_environment(),
        nodes(
            folder,
            run,
            realtime_priority=options.realtime_priority,
            compiled=options.compiled,
            record=options.record,
        ) as processes,
    ):
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        with (
            CommandObserver(task.control_period_s, max_commands) as observer,
            watching(folder, options.realtime_priority + 1) as stall_watch,
        ):
            wait_for_commands(observer, processes, folder)
            begin_ns = time.time_ns()
            pids = {name: process.pid for name, process in processes.items()}
            with (folder / "timeline.csv").open("w", buffering=1, newline="") as file:
                writer = csv.DictWriter(file, Sample.columns(pids))
                writer.writeheader()
                for sample in watch(options, observer, pids, stop, console):
                    samples.append(sample)
                    writer.writerow(sample.row())
            stalls = stall_watch.stop()
        rclpy.try_shutdown()
    if not samples or samples[-1].at_s < options.warm_up_s + 2 * NUM_PARTS:
        raise DemoError("ended before there was anything to judge")
    verdict = conclude(observer, samples, stalls, options.warm_up_s, begin_ns)
    summary = {"command": command, "machine": asdict(machine), "rate_hz": options.rate_hz}
    (folder / "summary.json").write_text(json.dumps(summary | verdict, indent=2) + "\n")
    write_seconds(observer, begin_ns, folder / "seconds.csv")
    plot(observer, samples, options.warm_up_s, begin_ns, folder / "endurance.png")
    print_verdict(console, verdict)
    console.print(f"wrote {folder}/summary.json, timeline.csv and endurance.png")
    return stop.exit_status or (0 if verdict["goals_hold"] else 1)


if __name__ == "__main__":
    sys.exit(main())
