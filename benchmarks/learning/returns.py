"""Train a task over several seeds, evaluate the policies, and record the returns.

    python -m benchmarks.learning.returns --task hopper --algorithm sac --seeds 1 2 3
    python -m benchmarks.learning.returns --env Pendulum-v1 --steps 20000 -- --sac.utd-ratio 0.5

Unfinished runs are resumed. Words after `--` go to `sac-ros train` unchanged. OUT/returns.csv has
one row for each run; OUT/returns/ has the curves of each task and algorithm, as CSV and PNG.
"""

import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.learning.returns_table import (
    Row,
    Session,
    add_session,
    read_sessions,
    write_curves,
    write_row,
)
from benchmarks.machine import describe_machine
from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.config.algorithm_config import AlgorithmName
from sim_training.commands import train
from sim_training.evaluation.policy_evaluation import evaluate_policy
from sim_training.run_report.run_history import RunHistory, RunHistoryError, read_history
from sim_training.terminal.options import parse_options, split_at_double_dash
from sim_training.training.policy_export import export_run
from sim_training.training.run_folder import RunFolder

PACKAGES = ("torch", "mujoco", "gymnasium", "numpy")
EPISODIC_RETURN: Final = "charts/episodic_return"
LATE: Final = 0.8
"""Share of the steps after which a training episode counts among the last ones."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    task: str | None = None
    """Name of a task, or a task file."""
    env: str | None = None
    """Instead of a task: id of a Gymnasium environment."""
    algorithm: AlgorithmName = "sac"
    """As `sac-ros train` has it."""
    seeds: tuple[int, ...] = (1,)
    """One run each, one after the other; other processes may take other seeds meanwhile."""
    steps: int = 1_000_000
    """Environment steps of each run."""
    episodes: int = 10
    """Of the evaluation of each trained policy, most likely action."""
    evaluation_seed: int = 1000
    """Of the start states of that evaluation."""
    train: bool = True
    """Train unfinished runs; --no-train records them as they are, as partial."""
    name: str | None = None
    """Of the results; None means TASK_ALGORITHM. Give one with options that change the result."""
    runs: Path = Path("runs/returns")
    """Folder for the runs themselves."""
    out: Path = Path("docs/results")
    """Folder for the table and the curves."""

    def __post_init__(self) -> None:
        """Reject options that cannot be run."""
        if (self.task is None) == (self.env is None):
            raise ValueError("give exactly one of --task hopper and --env Pendulum-v1")
        for name in ("steps", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different and at least 0, got {self.seeds}")

    @property
    def title(self) -> str:
        """Name of the results."""
        problem = Path(self.task).stem if self.task is not None else str(self.env)
        return self.name or f"{problem.replace(':', '_').replace('/', '_')}_{self.algorithm}"

    def folder(self, seed: int) -> RunFolder:
        """Return where the run of one seed lies."""
        return RunFolder(self.runs / self.title / f"seed_{seed}")


def main() -> int:
    """Train, evaluate and record each seed in turn."""
    try:
        arguments, train_options = split_at_double_dash(sys.argv[1:])
        options = parse_options(
            Options,
            arguments,
            prog="returns.py",
            description="Train over several seeds, evaluate, and write down one row a run.",
        )
        for seed in options.seeds:
            status = _train(options, seed, train_options) if options.train else 0
            _write_down(options, seed)
            if status != 0:
                return status
    except (InputError, OSError) as error:
        print(f"returns.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _train(options: Options, seed: int, train_options: Sequence[str]) -> int:
    """Begin or go on with a run; return the exit status of `sac-ros train`, 0 if it is finished."""
    folder = options.folder(seed)
    if _steps_trained(folder) >= options.steps:
        print(f"{folder.path} has its {options.steps} steps")
        return 0
    problem = ("--task", options.task) if options.task is not None else ("--env", options.env)
    words = [
        *(str(word) for word in problem),
        *("--algorithm", options.algorithm, "--seed", str(seed), "--steps", str(options.steps)),
        *("--out", str(folder.path), *train_options),
    ]
    if folder.has_checkpoint:
        words.append("--resume")
    print(f"sac-ros train {shlex.join(words)}", flush=True)
    machine = describe_machine(PACKAGES)
    add_session(folder, Session.begun_on(machine))
    return train.main(words)


def _steps_trained(folder: RunFolder) -> int:
    """Return the steps behind the policy that the end of training has written; 0 without one."""
    if not folder.policy.exists():
        return 0
    return OnnxPolicy.load(folder.policy).contract.provenance.steps


def _write_down(options: Options, seed: int) -> None:
    folder = options.folder(seed)
    folder.require_checkpoint()
    with tempfile.TemporaryDirectory() as scratch:
        # From the checkpoint, because a run that was stopped has nothing else.
        path = Path(scratch) / "policy.onnx"
        export_run(folder, path)
        policy = OnnxPolicy.load(path)
    returns = evaluate_policy(policy, num_episodes=options.episodes, seed=options.evaluation_seed)
    histories = _histories(options)
    row = Row.of(
        title=options.title,
        seed=seed,
        steps_wanted=options.steps,
        returns=returns,
        training_returns=_late_training_returns(histories.get(folder.path), policy),
        contract=policy.contract,
        sessions=read_sessions(folder),
    )
    write_row(options.out / "returns.csv", row)
    print(row)
    if histories:
        curves = list(histories.values())
        write_curves(options.out / "returns" / options.title, options.title, curves)


def _histories(options: Options) -> dict[Path, RunHistory]:
    """Return what can be drawn, by run folder, of all seeds that have begun."""
    histories = {}
    for path in sorted((options.runs / options.title).glob("seed_*")):
        try:
            histories[path] = read_history(path)
        except RunHistoryError as error:
            print(f"no curves yet: {error}")
    return histories


def _late_training_returns(history: RunHistory | None, policy: OnnxPolicy) -> list[float]:
    """Return those of the training episodes that ended in the last fifth of the policy's steps."""
    if history is None or EPISODIC_RETURN not in history.scalars:
        return []
    curve = history.scalars[EPISODIC_RETURN]
    steps = policy.contract.provenance.steps
    is_late = (curve.step > LATE * steps) & (curve.step <= steps)
    return [float(value) for value in curve.value[is_late]]


if __name__ == "__main__":
    sys.exit(main())
