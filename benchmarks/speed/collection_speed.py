"""Measure how fast experience is collected, beside the vector environments of Gymnasium.

    python -m benchmarks.speed.collection_speed

`sac-ros train` with updates switched off, against gymnasium.make_vec's SyncVectorEnv and
AsyncVectorEnv that are only stepped with random actions, in turns. Also measures the memory of a
replay buffer.
"""

import contextlib
import io
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sim_training.environments.env import gymnasium_task
from sim_training.robot.mujoco_warnings import without_deprecation_warnings
from sim_training.terminal.options import parse_options
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.progress_display import LineDisplay
from sim_training.training.run_folder import RunFolder
from sim_training.training.train_options import TrainRequest
from sim_training.training.training_config import TrainingConfig
from sim_training.training.training_loop import train

SHARE_LIMIT: Final = 0.8
"""Of the steps a second of Gymnasium's best."""
BUFFER_LIMIT_MB: Final = 180.0
BUFFER_CAPACITY: Final = 1_000_000
OURS: Final = "sac-ros train"
PACKAGES = ("gymnasium", "mujoco", "numpy", "torch")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    env: str = "HalfCheetah-v5"
    """Id of the Gymnasium environment."""
    num_envs: int = 16
    """Environments stepped together."""
    steps: int = 16_000
    """Environment steps of one measurement, over all environments."""
    rounds: int = 5
    """How often each takes its turn."""
    out: Path = Path("runs/collection_speed")
    """Folder for summary.json."""

    def __post_init__(self) -> None:
        """Reject options that cannot be measured."""
        for name in ("num_envs", "steps", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Result of one way of stepping, over all rounds."""

    subject: str
    steps_per_s: float
    """Median over the rounds."""
    ratio: float
    """Median, over the rounds, of its speed to that of the better of Gymnasium's two."""
    rounds: tuple[float, ...]
    """Steps a second of each."""


class SteppedVectorEnv:
    """One of Gymnasium's vector environments, stepped with random actions and nothing else."""

    def __init__(self, options: Options, kind: str) -> None:
        self._options = options
        with without_deprecation_warnings():
            self._envs = gym.make_vec(options.env, options.num_envs, vectorization_mode=kind)
        self._envs.reset(seed=1)
        self._envs.action_space.seed(1)

    def steps_per_s(self) -> float:
        """Step all environments, from wherever they are."""
        num_steps = max(1, self._options.steps // self._options.num_envs)
        began_s = time.perf_counter()
        for _ in range(num_steps):
            self._envs.step(self._envs.action_space.sample())
        return num_steps * self._options.num_envs / (time.perf_counter() - began_s)

    def close(self) -> None:
        """End its processes, if it has some."""
        self._envs.close()


def collection_steps_per_s(options: Options) -> float:
    """Train without an update: everything else of the loop runs, logs and progress included."""
    task = gymnasium_task(options.env)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        folder = RunFolder(Path(scratch))
        display = StepTimes(options.steps)
        config = TrainingConfig(
            env=options.env,
            steps=options.steps,
            num_envs=options.num_envs,
            eval_every=10 * options.steps,
            eval_episodes=1,
            checkpoint_every=10 * options.steps,
            sac=SACConfig(learning_starts=10 * options.steps),
        )
        request = TrainRequest(config=config, folder=folder, resume=False)
        train(request, task, shlex.join(sys.argv), StopRequest(), display)
    return options.steps / display.collecting_s


class StepTimes(LineDisplay):
    """Shows nothing, and measures the loop itself, from its first step to its last."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self._entered_s = time.perf_counter()
        self.collecting_s = 0.0
        """Between entering the loop and leaving it; evaluation and saving come after."""

    def __enter__(self) -> "StepTimes":
        self._entered_s = time.perf_counter()
        return self

    def show(self, progress: object, steps_per_s: float, training_return: float | None) -> None:
        """Note the time: the loop shows its status once more when it ends."""
        self.collecting_s = time.perf_counter() - self._entered_s

    def say(self, line: str) -> None:
        """Show nothing."""


def measure(options: Options, console: Console) -> list[Row]:
    """Let each way of stepping take its turn, round after round."""
    sync, stepped_async = SteppedVectorEnv(options, "sync"), SteppedVectorEnv(options, "async")
    subjects: dict[str, Callable[[], float]] = {
        "SyncVectorEnv": sync.steps_per_s,
        "AsyncVectorEnv": stepped_async.steps_per_s,
        OURS: lambda: collection_steps_per_s(options),
    }
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(options.rounds):
        for name, steps_per_s in subjects.items():
            found[name].append(steps_per_s())
        rates = ", ".join(f"{name} {speeds[-1]:.0f}" for name, speeds in found.items())
        console.print(f"round {number + 1}/{options.rounds}, steps/s: {rates}", style="dim")
    sync.close()
    stepped_async.close()
    gymnasium_names = [name for name in subjects if name != OURS]
    best = max(gymnasium_names, key=lambda name: statistics.median(found[name]))
    return [
        Row(
            subject=name,
            steps_per_s=statistics.median(speeds),
            # Within a round: other load on the machine slowed both.
            ratio=statistics.median(
                speed / other for speed, other in zip(speeds, found[best], strict=True)
            ),
            rounds=tuple(round(speed, 1) for speed in speeds),
        )
        for name, speeds in found.items()
    ]


def resident_mb() -> float:
    """Return how much memory this process holds, in 10^6 bytes."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024 / 1e6


def weigh_buffer(obs_dim: int, action_dim: int) -> tuple[float, float]:
    """Return by how many MB the process grows with a full buffer, and when it is overwritten."""
    before_mb = resident_mb()
    buffer = ReplayBuffer(BUFFER_CAPACITY, obs_dim, action_dim, seed=1)
    num_new = 10_000
    obs, flags = np.ones((num_new, obs_dim), np.float32), np.zeros(num_new, bool)
    action, reward = np.ones((num_new, action_dim), np.float32), np.ones(num_new)
    for _ in range(BUFFER_CAPACITY // num_new):
        buffer.add(obs, action, reward, obs, flags, flags)
    full_mb = resident_mb()
    for _ in range(BUFFER_CAPACITY // num_new // 10):
        buffer.add(obs, action, reward, obs, flags, flags)
    return full_mb - before_mb, resident_mb() - full_mb


def main() -> int:
    """Measure everything, print the table, write the files."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="collection_speed.py",
            description="Time the collection of experience beside Gymnasium's vector environments.",
        )
        run(options)
    except (InputError, OSError) as error:
        print(f"collection_speed.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run(options: Options) -> None:
    """Measure and write down."""
    console = Console(width=max(100, Console().width))
    machine = describe_machine(PACKAGES)
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    console.print(
        f"{machine.cpu}, {machine.num_cores} cores, load average {machine.load_average_1min:.2f}"
        f" before the start\nPython {machine.python}, {packages}, commit {machine.git_commit}"
    )
    task = gymnasium_task(options.env)
    buffer_mb, growth_mb = weigh_buffer(task.obs_dim, task.action_dim)
    rows = measure(options, console)
    table = Table(title=f"{options.env}, {options.num_envs} environments, no updates")
    for column in ("", "steps/s", "of Gymnasium's best"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        table.add_row(row.subject, f"{row.steps_per_s:.0f}", f"{row.ratio:.2f}")
    share = next(row.ratio for row in rows if row.subject == OURS)
    lines = [
        f"collection: {share:.2f} of Gymnasium's best, goal >= {SHARE_LIMIT}:"
        f" {'kept' if share >= SHARE_LIMIT else 'MISSED'}",
        f"replay buffer of {BUFFER_CAPACITY} transitions of {options.env}: {buffer_mb:.1f} MB when"
        f" full, {growth_mb:.1f} MB more when overwritten; goal <= {BUFFER_LIMIT_MB:g} MB:"
        f" {'kept' if buffer_mb <= BUFFER_LIMIT_MB else 'MISSED'}",
    ]
    console.print(table, *lines, sep="\n")
    options.out.mkdir(parents=True, exist_ok=True)
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": asdict(machine),
        "options": {**asdict(options), "out": str(options.out)},
        "rows": [asdict(row) for row in rows],
        "share": share,
        "share_limit": SHARE_LIMIT,
        "replay_buffer_mb": round(buffer_mb, 2),
        "replay_buffer_growth_mb": round(growth_mb, 2),
        "replay_buffer_limit_mb": BUFFER_LIMIT_MB,
        "goals_hold": share >= SHARE_LIMIT and buffer_mb <= BUFFER_LIMIT_MB,
    }
    replace_text(options.out / "summary.json", json.dumps(summary, indent=2) + "\n")
    console.print(f"wrote {options.out}/summary.json")


if __name__ == "__main__":
    sys.exit(main())
