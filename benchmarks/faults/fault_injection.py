"""Break everything between a robot and its policy, and judge every command.

Two parts: the node's own control cycle on MuJoCo robots in virtual time, which makes most of the
ticks, and real processes over DDS in real time (fault_processes.py), which tests the wiring too.
"""

import csv
import json
import shlex
import sys
import tempfile
import time
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.faults.fault_kinds import KINDS, Required
from benchmarks.faults.faulty_world import FaultyWorld, Tally
from benchmarks.machine import describe_machine
from benchmarks.random_policy import write_random_policy
from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.terminal.options import parse_options

MAX_FROZEN_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    ticks: int = 1_000_000
    """Least number of control ticks, over all kinds of fault together."""
    seed: int = 0
    """Of everything that is random: when a fault comes, how bad it is, how long it lasts."""
    process_rounds: int = 1
    """How often each fault of real processes is tried; 0 leaves them out."""
    only: str = ""
    """Leave out all kinds of fault but those whose name has this in it."""
    out: Path = Path("runs/fault_injection")
    """Folder for summary.json and kinds.csv."""

    def __post_init__(self) -> None:
        """Reject a campaign without ticks."""
        if self.ticks < 1 or self.process_rounds < 0 or self.seed < 0:
            raise ValueError("ticks must be positive, process_rounds and seed not negative")


@dataclass(frozen=True, kw_only=True)
class KindResult:
    """One kind of fault, over all its trials: a row of kinds.csv."""

    kind: str
    made_in: str
    """`virtual time`, or `processes` over DDS."""
    trials: int
    ticks: int
    commands: int
    unsafe_commands: int
    worst_share_of_limit: float
    worst_share_of_rate: float
    reaction_p50_ms: float | None
    reaction_max_ms: float | None
    bound_ms: float | None
    """None where no reaction is required."""
    late_reactions: int
    not_recovered: int
    undecided: int
    """Done again, and counted in no other column but trials, ticks and commands."""
    reasons: str


def make_worlds(folder: Path) -> list[FaultyWorld]:
    """Return an arm that is commanded by position and ramps, and a cheetah by effort."""
    arm = _with_frozen_watch(load_task("two_joint_arm"))
    path = folder / "random.onnx"
    write_random_policy(path, arm, command="benchmarks.faults.fault_injection")
    trained = OnnxPolicy.load(package_share() / "policies" / "half_cheetah.onnx")
    return [
        FaultyWorld(arm, OnnxPolicy.load(path)),
        FaultyWorld(_with_frozen_watch(load_task("half_cheetah")), trained),
    ]


def _with_frozen_watch(task: TaskSpec) -> TaskSpec:
    return replace(
        task,
        observation=tuple(
            replace(channel, max_frozen_s=MAX_FROZEN_S) for channel in task.observation
        ),
    )


def run_virtual(
    options: Options, worlds: list[FaultyWorld], progress: Progress
) -> list[KindResult]:
    """Take every kind in turn, on every robot, until there are enough ticks."""
    kinds = [kind for kind in KINDS if options.only in kind.name]
    tallies = {kind.name: Tally() for kind in kinds}
    bar = progress.add_task("ticks in virtual time", total=options.ticks, visible=bool(kinds))
    round_number = num_ticks = 0
    while kinds and num_ticks < options.ticks:
        for kind in kinds:
            for number, world in enumerate(worlds):
                # A name's own stream: a kind that is added leaves the others as they are.
                seed = (options.seed, zlib.crc32(kind.name.encode()), round_number, number)
                world.run_trial(kind, np.random.default_rng(seed), tallies[kind.name])
        round_number += 1
        num_ticks = sum(tally.num_ticks for tally in tallies.values())
        progress.update(bar, completed=num_ticks)
    required = {kind.name: kind.required is not Required.NOTHING for kind in kinds}
    return [_result(name, "virtual time", t, required[name]) for name, t in tallies.items()]


def _result(name: str, made_in: str, tally: Tally, is_required: bool) -> KindResult:
    verdicts, reactions_ms = tally.verdicts, 1e3 * np.array(tally.reactions_s)
    return KindResult(
        kind=name,
        made_in=made_in,
        trials=tally.num_trials,
        ticks=tally.num_ticks,
        commands=verdicts.num_commands,
        unsafe_commands=verdicts.num_unsafe,
        worst_share_of_limit=round(verdicts.worst_share_of_limit, 6),
        worst_share_of_rate=round(verdicts.worst_share_of_rate, 6),
        reaction_p50_ms=round(float(np.median(reactions_ms)), 2) if len(reactions_ms) else None,
        reaction_max_ms=round(float(reactions_ms.max()), 2) if len(reactions_ms) else None,
        bound_ms=round(1e3 * tally.bound_s, 1) if is_required else None,
        late_reactions=tally.num_late,
        not_recovered=tally.num_not_recovered,
        undecided=tally.num_undecided,
        reasons="; ".join(f"{count} x {reason}" for reason, count in verdicts.reasons.items()),
    )


def main() -> int:
    """Run the campaign; the exit status is 1 if anything unsafe was commanded."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="fault_injection.py",
            description="Break everything between a robot and its policy; count unsafe commands.",
        )
        return _run(options)
    except (InputError, OSError) as error:
        print(f"fault_injection.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: Options) -> int:
    machine = describe_machine(("rclpy", "mujoco", "onnxruntime", "numpy"))
    options.out.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name, _progress() as progress:
        folder = Path(name)
        results = run_virtual(options, make_worlds(folder), progress)
        if options.process_rounds:
            # Only here: a workstation without ROS can do the rest.
            from benchmarks.faults.fault_processes import run_processes

            bar = progress.add_task("trials of real processes", total=None)
            tallies = run_processes(
                options.process_rounds,
                options.seed,
                options.only,
                folder,
                lambda num_done, num_trials: progress.update(
                    bar, completed=num_done, total=num_trials
                ),
            )
            results += [
                _result(n, "processes", t, is_required) for n, (t, is_required) in tallies.items()
            ]
    if not results:
        raise InputError(f"no kind of fault has {options.only!r} in its name")
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": asdict(machine),
        "seed": options.seed,
        "wall_s": round(time.monotonic() - began_s, 1),
        "fault_kinds": len(results),
        "trials": sum(result.trials for result in results),
        "ticks": sum(result.ticks for result in results),
        "ticks_in_virtual_time": sum(r.ticks for r in results if r.made_in == "virtual time"),
        "commands": sum(result.commands for result in results),
        "unsafe_commands": sum(result.unsafe_commands for result in results),
        "late_reactions": sum(result.late_reactions for result in results),
        "not_recovered": sum(result.not_recovered for result in results),
        "undecided_trials": sum(result.undecided for result in results),
        "kinds": [asdict(result) for result in results],
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    with (options.out / "kinds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(results[0])))
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
    _print(results)
    print(
        f"kinds of fault: {summary['fault_kinds']}; {summary['ticks']} ticks,"
        f" {summary['unsafe_commands']} unsafe commands, {summary['late_reactions']} late"
        f" reactions, {summary['not_recovered']} not recovered; wrote {options.out}/summary.json"
    )
    return 1 if summary["unsafe_commands"] or summary["late_reactions"] else 0


def _progress() -> Progress:
    """Return bars for the terminal, drawn seldom as this process judges; a log gets none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    return Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=1,
    )


def _print(results: list[KindResult]) -> None:
    table = Table(title="Faults")
    columns = ("kind", "made in", "trials", "unsafe", "reaction max/bound [ms]", "late", "not back")
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:2] else "right")
    for r in results:
        reaction = "-" if r.reaction_max_ms is None else f"{r.reaction_max_ms:.0f}"
        table.add_row(
            r.kind,
            r.made_in,
            str(r.trials),
            str(r.unsafe_commands),
            f"{reaction} / {'-' if r.bound_ms is None else f'{r.bound_ms:.0f}'}",
            str(r.late_reactions),
            str(r.not_recovered),
        )
    Console(width=max(120, Console().width)).print(table)


if __name__ == "__main__":
    sys.exit(main())
