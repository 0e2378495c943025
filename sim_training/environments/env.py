"""Create the environment of a task: obs [O], and action [A] in [-1, 1].

Shapes: n environments, O obs_dim, A action_dim.
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from sac_ros.task.task_spec import TaskSpec, generic_task
from sim_training.environments.box_env import BoxEnv, EnvError, NormalizedActionEnv
from sim_training.environments.bright_env import BrightEnv
from sim_training.environments.discrete_action_env import DiscreteActionEnv
from sim_training.environments.env_memory import refuse_more_envs_than_fit
from sim_training.environments.episode_replay import ReplayableEnv
from sim_training.environments.image_env import (
    ATARI_SETTINGS,
    ATARI_TIME_LIMIT,
    as_stacked_images,
    is_atari,
    load_atari,
    with_signed_reward,
)
from sim_training.environments.task_env import TaskEnv
from sim_training.robot.domain_randomization import NO_RANDOMIZATION, DomainRandomization
from sim_training.robot.mujoco_warnings import without_deprecation_warnings
from sim_training.robot.perturbation import NOMINAL, Perturbation

DEFAULT_TIME_LIMIT = 1000
"""Maximum steps of an episode if the environment has no time limit of its own."""
DEFAULT_CONTROL_PERIOD_S = 0.05


def make_env(
    task: TaskSpec,
    render_mode: str | None = None,
    perturbation: Perturbation = NOMINAL,
    randomization: DomainRandomization = NO_RANDOMIZATION,
) -> BoxEnv:
    """Return the environment of a task, with the task's time limit.

    For a task with a `gymnasium_id` this is the unmodified Gymnasium environment, unless the robot
    is perturbed or randomised, or the task has a rate limit, a low-pass filter or joint limits.
    Then it is a TaskEnv on the same model: safety filter, observation and reward come from the
    task, as with sim_robot_node.
    """
    is_changed = not (perturbation.is_nominal and randomization.is_none)
    if task.simulator.gymnasium_id is None or task.action.is_filtered or is_changed:
        if is_changed:
            _refuse_change_without_joints(task)
        robot_env = TaskEnv(task, render_mode, perturbation, randomization)
        return TimeLimit(robot_env, task.max_episode_steps)
    env = _make_gymnasium_env(task.simulator.gymnasium_id, task.max_episode_steps, render_mode)
    found = (env.observation_space.shape, env.action_space.shape)
    if found != ((task.obs_dim,), (task.action_dim,)):
        raise EnvError(
            f"task {task.name!r} describes {task.obs_dim} observation and {task.action_dim} action"
            f" entries, but {task.simulator.gymnasium_id} has the shapes {found[0]} and {found[1]};"
            " correct the task file"
        )
    return env


def make_training_env(
    task: TaskSpec,
    perturbation: Perturbation = NOMINAL,
    randomization: DomainRandomization = NO_RANDOMIZATION,
) -> BoxEnv:
    """Return the environment for training; for Atari games, the reward is replaced by its sign."""
    env = make_env(task, perturbation=perturbation, randomization=randomization)
    return with_signed_reward(env) if is_atari(task.name) else env


def make_vector_env(
    task: TaskSpec,
    num_envs: int,
    perturbation: Perturbation = NOMINAL,
    randomization: DomainRandomization = NO_RANDOMIZATION,
) -> SyncVectorEnv:
    """Return `num_envs` environments stepped together; each can resume a saved episode.

    A step that ends an episode returns the first observation of the next episode; `successor_obs`
    returns the observation that the step itself led to. All run in this process, because
    communication with other processes takes longer than a step of these environments.
    """

    def make() -> ReplayableEnv:
        return ReplayableEnv(make_training_env(task, perturbation, randomization))

    refuse_more_envs_than_fit(make, num_envs)
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def successor_obs(
    next_obs: NDArray[np.float32], ended: NDArray[np.bool_], info: Mapping[str, object]
) -> NDArray[np.float32]:
    """Return the observation [n, O] that each step led to, before the automatic reset.

    A truncated step bootstraps from it: there, `next_obs` is the first observation of the next
    episode.
    """
    if not ended.any():
        return next_obs
    successor = next_obs.copy()
    final_obs = cast(NDArray[np.object_], info["final_obs"])
    for index in np.flatnonzero(ended):
        successor[index] = final_obs[index]
    return successor


def executed_action(
    action: NDArray[np.float32], ended: NDArray[np.bool_], info: Mapping[str, object]
) -> NDArray[np.float32]:
    """Return the action [n, A] that each environment executed.

    A TaskEnv limits actions with the robot's safety filter and reports the executed action in
    `info`. The learner must use it, because it caused the transition. Other environments execute
    the given action.
    """
    executed = action.copy()
    # At the last step of an episode, the vector environment moves `info` into `final_info`.
    for rows, key in ((~ended, None), (ended, "final_info")):
        if not rows.any():
            continue
        step_info = cast(Mapping[str, NDArray[np.float64]], info if key is None else info[key])
        if "executed_action" in step_info:
            executed[rows] = step_info["executed_action"][rows]
    return executed


def terminated_for_learner(
    terminated: NDArray[np.bool_], info: Mapping[str, object]
) -> NDArray[np.bool_]:
    """Return where [n] the value target must not bootstrap: termination, or a lost life.

    After a lost life the game itself continues, and its return is counted to the end.
    """
    if "life_lost" not in info:
        return terminated
    return terminated | cast(NDArray[np.bool_], info["life_lost"])


def gymnasium_task(env_id: str) -> TaskSpec:
    """Return a generated task for any Gymnasium environment with Box observations."""
    env = _make_gymnasium_env(env_id, max_episode_steps=None, render_mode=None)
    try:
        time_limit = env.spec.max_episode_steps if env.spec is not None else None
        return generic_task(
            gymnasium_id=env_id,
            obs_dim=math.prod(env.observation_space.shape or ()),
            action_low=env.command_low,
            action_high=env.command_high,
            choices=env.choices,
            control_period_s=_control_period_s(env),
            max_steps=time_limit or (ATARI_TIME_LIMIT if is_atari(env_id) else DEFAULT_TIME_LIMIT),
        )
    finally:
        env.close()


def _refuse_change_without_joints(task: TaskSpec) -> None:
    has_model = task.simulator.mjcf is not None
    if not has_model and not all(reading.is_of_joints for reading in task.readings):
        raise EnvError(
            f"{task.name!r} does not name its joints, so its robot cannot be perturbed or"
            " randomised; give --task with a task file instead of --env"
        )


def _make_gymnasium_env(
    env_id: str, max_episode_steps: int | None, render_mode: str | None
) -> NormalizedActionEnv | DiscreteActionEnv:
    # Only if given: an environment without rendering may not accept the argument.
    settings: dict[str, object] = {} if render_mode is None else {"render_mode": render_mode}
    if is_atari(env_id):
        load_atari()
        # The task's limit counts steps of four frames. ale-py applies its own limit in frames.
        max_episode_steps = None
        settings |= ATARI_SETTINGS
    if ":" in env_id and str(Path.cwd()) not in sys.path:
        # MODULE:ID imports a module that registers the environment, often in the current folder.
        sys.path.append(str(Path.cwd()))
    try:
        # Without Gymnasium's checker: it slows every step and warns about third-party code.
        with without_deprecation_warnings():
            env = gym.make(
                env_id,
                max_episode_steps=max_episode_steps,
                disable_env_checker=True,
                **settings,
            )
    except (gym.error.Error, ImportError) as error:
        raise EnvError(f"cannot make the environment {env_id!r}: {error}") from error
    try:
        if render_mode is not None and isinstance(env.unwrapped, MujocoEnv):
            env = BrightEnv(env)
        env = as_stacked_images(env, env_id)
        if isinstance(env.action_space, Discrete):
            return DiscreteActionEnv(env, env_id)
        return NormalizedActionEnv(env, env_id)
    except EnvError:
        env.close()
        raise


def _control_period_s(env: BoxEnv) -> float:
    """Return the seconds between two actions: MuJoCo's `dt`, or the inverse of `render_fps`."""
    period_s = getattr(env.unwrapped, "dt", None)
    if isinstance(period_s, float) and period_s > 0.0:
        return period_s
    frames_hz = env.metadata.get("render_fps")
    return 1.0 / frames_hz if frames_hz else DEFAULT_CONTROL_PERIOD_S
