"""`sac-ros evaluate`: the returns of an exported policy in its task's environment.

It runs the same policy file in the same runtime (onnxruntime) as a robot; torch is not needed.
Shapes: O obs_dim, A action_dim.
"""

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import TaskSpec
from sim_training.evaluation.policy_evaluation import run_policy
from sim_training.evaluation.rollout import Episode
from sim_training.robot.perturbation import Perturbation
from sim_training.terminal.options import parse_options


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `sac-ros evaluate`."""

    policy: Annotated[Path, tyro.conf.Positional]
    """Policy file, such as runs/hc1/policy.onnx."""
    episodes: int = 10
    """Number of episodes."""
    seed: int = 1
    """Seed of the start states and, with --sampled, of the exploration noise."""
    json: bool = False
    """Print one JSON object instead of a table."""
    video: Path | None = None
    """Record a video of the first episode to this .mp4, .gif or .webp file."""
    video_seconds: float | None = None
    """Length of the video in s; None records the whole episode."""
    sampled: bool = False
    """Sample actions as in training, instead of the deterministic action."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Changes of the robot's model."""

    def __post_init__(self) -> None:
        """Raise ValueError for a count or seed out of range."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if self.video_seconds is not None and not 0.0 < self.video_seconds < math.inf:
            raise ValueError(f"video_seconds must be above 0, got {self.video_seconds}")


def main(argv: Sequence[str]) -> int:
    """Evaluate as the command line says."""
    options = parse_options(
        EvaluateOptions,
        argv,
        prog="sac-ros evaluate",
        description="Run an exported policy in simulation and report its returns.",
    )
    policy = OnnxPolicy.load(options.policy)
    act: Callable[[NDArray[np.float32]], NDArray[np.float64]] = policy.mode
    if options.sampled:
        act = functools.partial(policy.sample, rng=np.random.default_rng(options.seed))
    episodes = run_policy(
        policy,
        act,
        num_episodes=options.episodes,
        seed=options.seed,
        video=options.video,
        video_s=options.video_seconds,
        perturbation=options.perturbation,
    )
    summary = {
        "policy": str(options.policy),
        "actions": "sampled" if options.sampled else "most likely",
        "seed": options.seed,
        "robot": str(options.perturbation),
        **_summarize(policy.task, episodes),
    }
    if options.json:
        print(json.dumps(summary))
    else:
        Console().print(_table(summary))
    return 0


def _summarize(task: TaskSpec, episodes: Sequence[Episode]) -> dict[str, object]:
    returns = np.array([episode.episode_return for episode in episodes])
    summary: dict[str, object] = {
        "task": task.name,
        "num_episodes": len(episodes),
        "return_mean": float(returns.mean()),
        "return_std": float(returns.std()),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "episode_length_mean": float(np.mean([episode.length for episode in episodes])),
    }
    if task.success_return is not None:
        summary["success_rate"] = float((returns >= task.success_return).mean())
    return {**summary, "returns": returns.tolist()}


def _table(summary: dict[str, object]) -> Table:
    table = Table("", "value", title="evaluation in simulation")
    for name, value in summary.items():
        if isinstance(value, list):
            table.add_row(name, ", ".join(f"{item:.1f}" for item in value))
        else:
            table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
    return table
