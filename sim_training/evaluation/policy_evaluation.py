"""Run an exported policy in its task's environment, with onnxruntime as on a robot.

torch is not needed. Shapes: O obs_dim, A action_dim.
"""

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.box_env import BoxEnv
from sim_training.evaluation.film_file import VideoError
from sim_training.evaluation.rollout import Episode, evaluation_seeds, run_episodes
from sim_training.evaluation.video import RENDER_MODE, VideoRecording, choose_renderer
from sim_training.robot.perturbation import NOMINAL, Perturbation


def evaluate_policy(policy: OnnxPolicy, *, num_episodes: int, seed: int) -> list[float]:
    """Return the undiscounted return of each episode, with deterministic actions."""
    episodes = run_policy(policy, policy.mode, num_episodes=num_episodes, seed=seed, video=None)
    return [episode.episode_return for episode in episodes]


def run_policy(
    policy: OnnxPolicy,
    act: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    *,
    num_episodes: int,
    seed: int,
    video: Path | None,
    video_s: float | None = None,
    perturbation: Perturbation = NOMINAL,
) -> list[Episode]:
    """Run whole episodes of the policy's task with `act`, obs [O] to action [A].

    Films the first into `video`, whole or for its first `video_s` seconds.
    """
    env = _make_env(policy.task, perturbation, is_filmed=video is not None)
    seeds = evaluation_seeds(seed, 0, num_episodes)
    episodes = []
    with contextlib.closing(env), contextlib.ExitStack() as stack:
        after_step = None
        if video is not None:
            recording = stack.enter_context(
                VideoRecording(video, 1.0 / policy.task.control_period_s, video_s)
            )
            after_step = functools.partial(recording.film, env)
        for episode_seed in seeds:
            episodes += run_episodes(
                [env], lambda obs: act(obs[0])[None], [episode_seed], after_step
            )
            after_step = None
    return episodes


def make_filmed_env(task: TaskSpec, perturbation: Perturbation = NOMINAL) -> BoxEnv:
    """Return an environment that renders; raise VideoError where MuJoCo cannot."""
    choose_renderer()
    # Imported now, not above: it imports MuJoCo, which chooses its renderer at that moment.
    try:
        from sim_training.environments.env import make_env
    except (AttributeError, ImportError, RuntimeError) as error:
        raise VideoError(
            f"MuJoCo cannot render with MUJOCO_GL={os.environ.get('MUJOCO_GL')} ({error}); set it"
            " to egl, osmesa or glfw, whichever works here, or leave out the film"
        ) from error
    return make_env(task, RENDER_MODE, perturbation)


def _make_env(task: TaskSpec, perturbation: Perturbation, *, is_filmed: bool) -> BoxEnv:
    if is_filmed:
        return make_filmed_env(task, perturbation)
    from sim_training.environments.env import make_env

    return make_env(task, perturbation=perturbation)
