"""Wrap an environment with Box spaces: flat obs [O], and action [A] in [-1, 1].

Shapes: O obs_dim, A action_dim.
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from sac_ros.errors import InputError

BoxEnv: TypeAlias = gym.Env[NDArray[np.float32], NDArray[np.float32]]
"""The environment type of this package: obs [O] and action [A], float32."""


INFO_KEYS = ("life_lost", "lives")
"""Entries of `info` that training reads: of Atari games."""


class EnvError(InputError):
    """The environment is unknown, cannot be created, or has spaces that SAC does not support."""


class NormalizedActionEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    # Records the constructor arguments, so that Gymnasium can recreate it from `env.spec`.
    gym.utils.RecordConstructorArgs,
):
    """Maps actions from [-1, 1] to the environment's own range and flattens observations."""

    def __init__(self, env: BoxEnv, where: str) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, where=where)
        gym.Wrapper.__init__(self, env)
        obs_space = require_box(env.observation_space, "observation", where)
        action_space = require_box(env.action_space, "action", where)
        low, high = action_space.low, action_space.high
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
            raise EnvError(
                f"{where} has the action range {low.tolist()} to {high.tolist()}, expected finite"
                " bounds with low < high; wrap the environment to give it finite bounds"
            )
        self.own_action_space = action_space
        obs_dim, action_dim = math.prod(obs_space.shape), math.prod(action_space.shape)
        self.observation_space = Box(-np.inf, np.inf, (obs_dim,), np.float32)
        self.action_space = Box(-1.0, 1.0, (action_dim,), np.float32)

    @property
    def command_low(self) -> tuple[float, ...]:
        """Lower bound of each entry of the environment's own action, flattened."""
        return tuple(self.own_action_space.low.astype(float).ravel().tolist())

    @property
    def command_high(self) -> tuple[float, ...]:
        """Upper bound of each entry of the environment's own action, flattened."""
        return tuple(self.own_action_space.high.astype(float).ravel().tolist())

    @property
    def choices(self) -> None:
        """None: the action space is continuous."""
        return None

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Start an episode; return its first obs [O]."""
        obs, info = self.env.reset(seed=seed, options=options)
        return flat_float32(obs), own_info(info)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take an action [A] in [-1, 1]."""
        own = in_range(action, self.own_action_space)
        obs, reward, terminated, truncated, info = self.env.step(own)
        return flat_float32(obs), float(reward), bool(terminated), bool(truncated), own_info(info)


def in_range(action: NDArray[np.float32], space: Box) -> NDArray[np.float32]:
    """Return an action [A] in [-1, 1] as one of `space`, in its shape and type.

    -1 and 1 are exactly the bounds. Integers have equal shares of [-1, 1].
    """
    # At least float64: float32 would miss the bounds of wider types.
    share = (np.clip(np.reshape(action, space.shape).astype(np.float64), -1.0, 1.0) + 1.0) / 2.0
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if np.issubdtype(space.dtype, np.integer):
        own = np.minimum(low + np.floor(share * (high - low + 1.0)), high)
    else:
        own = np.clip(low + share * (high - low), low, high)
        # A sum in floating point may end beside the bound.
        own = np.where(share == 1.0, high, own)
    result: NDArray[np.float32] = own.astype(space.dtype)
    return result


def own_info(info: Mapping[str, object]) -> dict[str, object]:
    """Return the entries that training reads; those of others need not be stackable."""
    return {key: info[key] for key in INFO_KEYS if key in info}


def require_box(space: gym.Space[NDArray[np.float32]], role: str, where: str) -> Box:
    """Return the space; raise EnvError if it is not a Box or has no entries."""
    if not isinstance(space, Box) or math.prod(space.shape) == 0:
        raise EnvError(
            f"{where} has the {role} space {space}, expected a Box with at least one entry; choose"
            " an environment with such a space"
        )
    return space


def flat_float32(obs: object) -> NDArray[np.float32]:
    """Return a copy of an observation of any shape, as a flat float32 array [O].

    A copy, because an environment may change the array it has handed out.
    """
    return np.array(obs, dtype=np.float32).reshape(-1)
