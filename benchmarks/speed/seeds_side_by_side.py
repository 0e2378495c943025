"""Measure how well `sac-ros train --seeds` uses the cores, beside the same seeds one by one.

    python -m benchmarks.speed.seeds_side_by_side

Whole commands in turns, start and compilation included: the seeds with --jobs 1, and with as many
jobs as there are cores. Of each, environment steps a second over all seeds, and the share of the
machine's processor time that its processes used.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sim_training.terminal.options import parse_options

PACKAGES: Final = ("torch", "gymnasium", "mujoco", "numpy")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    task: str = "half_cheetah"
    """Task that is trained."""
    seeds: tuple[int, ...] = (1, 2, 3, 4)
    """Trained in each turn."""
    steps: int = 7_000
    """Environment steps of each seed."""
    precision: str = "float32"
    """Of the matrix products."""
    rounds: int = 2
    """How often each number of jobs takes its turn."""
    out: Path = Path("runs/seeds_side_by_side")
    """Folder for summary.json."""

    def __post_init__(self) -> None:
        """Reject options that cannot be measured."""
        for name in ("steps", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Result of one command."""

    jobs: int
    steps_per_s: float
    """Environment steps of all seeds by the wall-clock time of the whole command."""
    processor_share: float
    """Processor time of the command and its processes, of that of all cores meanwhile."""


class TrainingFailedError(InputError):
    """A command that was to be measured did not train."""


def take_turn(options: Options, jobs: int, num_cores: int) -> Turn:
    """Train all seeds anew, that many at a time."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "--task", options.task, "--seeds", *map(str, options.seeds)]
        words += ["--jobs", str(jobs), "--steps", str(options.steps), "--out", f"{folder}/runs"]
        words += ["--precision", options.precision]
        used_before_s, began_s = _processor_time_of_children_s(), time.monotonic()
        result = subprocess.run(
            [sys.executable, "-m", "sac_ros", *words], capture_output=True, text=True, check=False
        )
        wall_s = time.monotonic() - began_s
    if result.returncode != 0:
        output = (result.stderr or result.stdout).strip()
        raise TrainingFailedError(f"sac-ros {' '.join(words)} failed: {output}")
    used_s = _processor_time_of_children_s() - used_before_s
    return Turn(
        jobs=jobs,
        steps_per_s=len(options.seeds) * options.steps / wall_s,
        processor_share=used_s / (wall_s * num_cores),
    )


def _processor_time_of_children_s() -> float:
    # Of all that have been waited for, and of those that they have waited for.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_table(console: Console, turns: Sequence[Turn]) -> None:
    """Print one line for each number of jobs."""
    table = Table("jobs", "steps/s", "rounds", "share of all cores", "ratio")
    rates: list[float] = []
    for jobs in dict.fromkeys(turn.jobs for turn in turns):
        own = [turn for turn in turns if turn.jobs == jobs]
        share = statistics.median(turn.processor_share for turn in own)
        rates.append(statistics.median(turn.steps_per_s for turn in own))
        rounds = ", ".join(f"{turn.steps_per_s:.0f}" for turn in own)
        ratio = rates[-1] / rates[0]
        table.add_row(str(jobs), f"{rates[-1]:.0f}", rounds, f"{share:.0%}", f"{ratio:.2f}")
    console.print(table)


def main() -> int:
    """Measure, print a table and write summary.json."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="seeds_side_by_side.py",
            description=__doc__ or "",
            default=Options(),
        )
        machine = describe_machine(PACKAGES)
        console = Console()
        console.print(f"{machine.cpu}, load {machine.load_average_1min:.1f}", highlight=False)
        turns: list[Turn] = []
        for number in range(options.rounds):
            for jobs in dict.fromkeys((1, machine.num_cores)):
                turns.append(take_turn(options, jobs, machine.num_cores))
                line = f"round {number + 1}: {jobs} jobs, {turns[-1].steps_per_s:.0f} steps/s"
                console.print(line, highlight=False)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_table(console, turns)
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": asdict(machine), "turns": [asdict(turn) for turn in turns]}
    replace_text(options.out / "summary.json", json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
