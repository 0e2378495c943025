"""`sac-ros evaluate`: the returns of an exported policy in its task's environment.

Runs the very file that a robot would run, in the same onnxruntime session; torch is not needed.
Shapes: O obs_dim, A action_dim.
"""

import contextlib
import functools
import json
import os
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
from sim_training.box_env import BoxEnv
from sim_training.options import parse_options
from sim_training.perturbation import NOMINAL, Perturbation
from sim_training.rollout import Episode, evaluation_seeds, run_episodes
from sim_training.video import RENDER_MODE, VideoError, VideoRecording, choose_renderer


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What a person types."""

    policy: Annotated[Path, tyro.conf.Positional]
    """Policy file, such as runs/hc1/policy.onnx."""
    episodes: int = 10
    """How many to run."""
    seed: int = 1
    """Of the start states, and with --sampled of the noise."""
    json: bool = False
    """Print one JSON object instead of a table."""
    video: Path | None = None
    """Film the first episode into this .mp4 file."""
    sampled: bool = False
    """Draw actions as training does, instead of taking the most likely one."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Another robot than the model describes."""

    def __post_init__(self) -> None:
        """Refuse counts and seeds that are none."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


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


def evaluate_policy(policy: OnnxPolicy, *, num_episodes: int, seed: int) -> list[float]:
    """Return the undiscounted return of each episode under the most likely action."""
    episodes = run_policy(policy, policy.mode, num_episodes=num_episodes, seed=seed, video=None)
    return [episode.episode_return for episode in episodes]


def run_policy(
    policy: OnnxPolicy,
    act: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    *,
    num_episodes: int,
    seed: int,
    video: Path | None,
    perturbation: Perturbation = NOMINAL,
) -> list[Episode]:
    """Run whole episodes of the policy's task with `act`, obs [O] to action [A]; film the first."""
    env = _make_env(policy.task, video, perturbation)
    seeds = evaluation_seeds(seed, 0, num_episodes)
    episodes = []
    with contextlib.closing(env), contextlib.ExitStack() as stack:
        after_step = None
        if video is not None:
            recording = stack.enter_context(
                VideoRecording(video, 1.0 / policy.task.control_period_s)
            )
            after_step = functools.partial(recording.film, env)
        for episode_seed in seeds:
            episodes += run_episodes(
                [env], lambda obs: act(obs[0])[None], [episode_seed], after_step
            )
            after_step = None
    return episodes


def _make_env(task: TaskSpec, video: Path | None, perturbation: Perturbation) -> BoxEnv:
    if video is not None:
        choose_renderer()
    # Imported now, not above: it imports MuJoCo, which chooses its renderer at that moment.
    try:
        from sim_training.env import make_env
    except (AttributeError, ImportError, RuntimeError) as error:
        if video is None:
            raise
        raise VideoError(
            f"MuJoCo cannot render with MUJOCO_GL={os.environ.get('MUJOCO_GL')} ({error}); set it"
            " to egl, osmesa or glfw, whichever works here, or leave out --video"
        ) from error
    return make_env(task, None if video is None else RENDER_MODE, perturbation)


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
