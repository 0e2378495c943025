"""The environment of a task: Gymnasium's own, seen as obs [O] and action [A] in [-1, 1].

Shapes: n environments, O obs_dim, A action_dim.
"""

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.task.task_spec import TaskSpec, generic_task
from sim_training.episode_replay import ReplayableEnv

BoxEnv: TypeAlias = gym.Env[NDArray[np.float32], NDArray[np.float32]]
"""What everything in this room steps: obs [O] and action [A], float32."""

DEFAULT_TIME_LIMIT = 1000
"""Control steps an episode may take where an environment has no limit of its own."""
DEFAULT_CONTROL_PERIOD_S = 0.05


class EnvError(InputError):
    """The environment is unknown, cannot be made, or is not one that SAC can act in."""


class NormalizedActionEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
):
    """A Box environment whose action [-1, 1] maps onto its own range; nothing else changes."""

    def __init__(self, env: BoxEnv, where: str) -> None:
        super().__init__(env)
        obs_space = _require_box(env.observation_space, "observation", where)
        action_space = _require_box(env.action_space, "action", where)
        low, high = action_space.low, action_space.high
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise EnvError(
                f"{where} has the action range {low.tolist()} to {high.tolist()}, but only finite"
                " ranges can be mapped to [-1, 1]; wrap it in one with finite bounds"
            )
        self.own_action_space = action_space
        # In float64, so that the ends of the range are met exactly.
        self._centre = (high.astype(np.float64) + low) / 2.0
        self._half_range = (high.astype(np.float64) - low) / 2.0
        obs_dim, action_dim = math.prod(obs_space.shape), math.prod(action_space.shape)
        self.observation_space = Box(-np.inf, np.inf, (obs_dim,), np.float32)
        self.action_space = Box(-1.0, 1.0, (action_dim,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Begin an episode; return its first obs [O]."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _flat_float32(obs), info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take an action [A] in [-1, 1]."""
        space = self.own_action_space
        own = self._centre + self._half_range * np.reshape(action, space.shape)
        obs, reward, terminated, truncated, info = self.env.step(own.astype(space.dtype))
        return _flat_float32(obs), float(reward), bool(terminated), bool(truncated), info


def make_env(task: TaskSpec, render_mode: str | None = None) -> BoxEnv:
    """Return the environment of a task, with the task's time limit."""
    if task.simulator.gymnasium_id is None:
        raise EnvError(
            f"task {task.name!r} is simulated from a model file, which cannot be trained in yet;"
            " give its simulator a gymnasium_id"
        )
    env = _make_gymnasium_env(task.simulator.gymnasium_id, task.max_episode_steps, render_mode)
    found = (env.observation_space.shape, env.action_space.shape)
    if found != ((task.obs_dim,), (task.action_dim,)):
        raise EnvError(
            f"task {task.name!r} describes {task.obs_dim} observation and {task.action_dim} action"
            f" entries, but {task.simulator.gymnasium_id} has {found[0]} and {found[1]};"
            " correct the task file"
        )
    return env


def make_vector_env(task: TaskSpec, num_envs: int) -> SyncVectorEnv:
    """Return `num_envs` environments stepped together, each of which can resume its episode.

    A step that ends an episode returns the next episode's first observation; `successor_obs`
    has the observation that the step itself led to. In one process, because pipes to others cost
    more than a step of these environments.
    """
    return SyncVectorEnv(
        [lambda: ReplayableEnv(make_env(task))] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )


def successor_obs(
    next_obs: NDArray[np.float32], ended: NDArray[np.bool_], info: Mapping[str, object]
) -> NDArray[np.float32]:
    """Return the observation [n, O] each step led to, before any episode was begun anew.

    This is what a truncated step bootstraps from: `next_obs` is another episode's first
    observation there.
    """
    if not ended.any():
        return next_obs
    successor = next_obs.copy()
    final_obs = cast(NDArray[np.object_], info["final_obs"])
    for index in np.flatnonzero(ended):
        successor[index] = final_obs[index]
    return successor


def gymnasium_task(env_id: str) -> TaskSpec:
    """Describe any Gymnasium environment with Box observation and Box action as a task."""
    env = _make_gymnasium_env(env_id, max_episode_steps=None, render_mode=None)
    try:
        own_action_space = env.own_action_space
        time_limit = env.spec.max_episode_steps if env.spec is not None else None
        return generic_task(
            gymnasium_id=env_id,
            obs_dim=math.prod(env.observation_space.shape or ()),
            action_low=tuple(own_action_space.low.astype(float).ravel().tolist()),
            action_high=tuple(own_action_space.high.astype(float).ravel().tolist()),
            control_period_s=_control_period_s(env),
            max_steps=DEFAULT_TIME_LIMIT if time_limit is None else time_limit,
        )
    finally:
        env.close()


def _make_gymnasium_env(
    env_id: str, max_episode_steps: int | None, render_mode: str | None
) -> NormalizedActionEnv:
    # Only when there is one: an environment that draws nothing may not know the argument.
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    try:
        # Without the checker, which costs time at every step and talks about other people's code.
        with _without_model_advice():
            env = gym.make(
                env_id,
                max_episode_steps=max_episode_steps,
                disable_env_checker=True,
                **rendering,
            )
    except (gym.error.Error, ImportError) as error:
        raise EnvError(f"cannot make the environment {env_id!r}: {error}") from error
    try:
        return NormalizedActionEnv(env, env_id)
    except EnvError:
        env.close()
        raise


@contextlib.contextmanager
def _without_model_advice() -> Iterator[None]:
    """Keep MuJoCo from advising, once for every environment, how to rewrite Gymnasium's models."""
    previous = mujoco.get_mju_user_warning()

    def show(message: str) -> None:
        if "is deprecated" not in message:
            print(f"MuJoCo: {message}", file=sys.stderr)

    mujoco.set_mju_user_warning(show)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)


def _require_box(space: gym.Space[NDArray[np.float32]], role: str, where: str) -> Box:
    if not isinstance(space, Box) or math.prod(space.shape) == 0:
        raise EnvError(
            f"{where} has the {role} space {space}, but SAC here needs a Box with at least one"
            " entry; choose an environment with continuous observations and actions"
        )
    return space


def _flat_float32(obs: object) -> NDArray[np.float32]:
    return np.asarray(obs, dtype=np.float32).reshape(-1)


def _control_period_s(env: BoxEnv) -> float:
    """Return the seconds between two actions: MuJoCo's own, or what a video would play at."""
    period_s = getattr(env.unwrapped, "dt", None)
    if isinstance(period_s, float) and period_s > 0.0:
        return period_s
    frames_hz = env.metadata.get("render_fps")
    return 1.0 / frames_hz if frames_hz else DEFAULT_CONTROL_PERIOD_S
