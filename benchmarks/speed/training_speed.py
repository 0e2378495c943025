"""Measure environment steps a second of training, beside Stable-Baselines3 and SBX.

    python -m benchmarks.speed.training_speed  # end to end, in turns, with 2 threads and 1
    python -m benchmarks.speed.training_speed --mode updates  # updates alone, and what bounds them
    python -m benchmarks.speed.training_speed --mode scaling  # batch, width, environments, utd
    python -m benchmarks.speed.training_speed --mode neighbour  # beside a busy core

The peers need the extra: pip install 'sac_ros[bench]'.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.speed.speed_report import Row, print_table, processor_features, write_report
from benchmarks.speed.training_subjects import SUBJECTS, environment
from benchmarks.speed.update_speed import measure_neighbour, measure_scaling, measure_updates
from sac_ros.errors import InputError
from sim_training.terminal.options import parse_options

HERE = Path(__file__).parent
PACKAGES = ("torch", "jax", "gymnasium", "mujoco", "stable-baselines3", "sbx-rl", "numpy")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person types."""

    mode: Literal["end_to_end", "updates", "scaling", "neighbour"] = "end_to_end"
    """What is measured."""
    threads: tuple[int, ...] = (2, 1)
    """Threads of every subject."""
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    """Who takes part, end to end."""
    rounds: int = 5
    """How often each subject takes its turn."""
    steps: int = 400
    """Environment steps, or updates, of one turn."""
    out: Path = Path("runs/training_speed")
    """Folder for MODE.json and MODE.csv."""


class SubjectError(InputError):
    """A subject cannot be measured."""


class Subject:
    """A process that trains in turns."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.rates: list[float] = []
        """Environment steps a second, one a turn."""
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "training_subjects.py"), name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | environment(name, threads),
        )

    def wait_until_ready(self) -> None:
        """Wait for steady state."""
        while self._read_line() != "ready":
            pass

    def take_turn(self, steps: int) -> None:
        """Train that many steps and note the rate."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        self.rates.append(steps / float(self._read_line()))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SubjectError(
                f"{self.name} ended without an answer; install sac_ros[sim,bench], and see what it"
                f" says: python -m benchmarks.speed.training_subjects {self.name!r} 1"
            )
        return line.strip()


def measure_end_to_end(options: Options, threads: int, console: Console) -> list[Row]:
    """Let all subjects train in turns; return their rates and ratios to the peers."""
    subjects: list[Subject] = []
    try:
        for name in options.subjects:
            console.print(f"{threads} threads: {name} begins", highlight=False)
            subjects.append(Subject(name, threads))
            # One after the other: nothing is being measured yet, but compilers want a whole core.
            subjects[-1].wait_until_ready()
        for turn in range(options.rounds):
            for subject in subjects:
                subject.take_turn(options.steps)
            rates = ", ".join(f"{subject.name} {subject.rates[-1]:.0f}" for subject in subjects)
            console.print(f"{threads} threads, round {turn + 1}: {rates}", highlight=False)
    finally:
        for subject in subjects:
            subject.close()
    medians = {subject.name: statistics.median(subject.rates) for subject in subjects}
    return [
        Row(
            what=subject.name,
            threads=threads,
            unit="environment steps/s",
            rates=subject.rates,
            ratios={
                f"x {peer}": medians[subject.name] / medians[peer]
                for peer in ("sb3", "sbx")
                if peer in medians
            },
        )
        for subject in subjects
    ]


def measure(options: Options, console: Console) -> list[Row]:
    """Measure what the mode asks for."""
    match options.mode:
        case "end_to_end":
            return [
                row
                for threads in options.threads
                for row in measure_end_to_end(options, threads, console)
            ]
        case "updates":
            return measure_updates(options.threads, options.rounds, options.steps)
        case "scaling":
            return measure_scaling(options.rounds, options.steps)
        case "neighbour":
            return measure_neighbour(options.rounds, options.steps)


def main(argv: Sequence[str]) -> int:
    """Measure, print a table and write it down."""
    console = Console()
    try:
        options = parse_options(
            Options,
            argv,
            prog="training_speed.py",
            description="Environment steps and updates a second, beside the libraries people use.",
        )
        unknown = sorted(set(options.subjects) - set(SUBJECTS))
        if unknown:
            raise SubjectError(f"unknown subjects {unknown}; choose from {list(SUBJECTS)}")
        machine = describe_machine(PACKAGES)
        features = processor_features()
        console.print(
            f"{machine.cpu}, {machine.num_cores} cores ({', '.join(features) or 'no AVX-512'}),"
            f" load {machine.load_average_1min:.2f}",
            highlight=False,
        )
        rows = measure(options, console)
    except InputError as error:
        print(f"training_speed.py: {error}", file=sys.stderr)
        return 2
    print_table(console, rows)
    write_report(options.out, options.mode, machine, features, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
