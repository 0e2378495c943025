"""Wrap an environment with a Discrete action space: flat obs [O], and action [1] in [-1, 1].

The command of such a task is the index of the action. The indices map to evenly spaced points in
[-1, 1], so training loop, replay buffer and policy file treat it like any task with `choices`.
"""

import math

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv, EnvError, flat_float32, own_info, require_box


class DiscreteActionEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    gym.utils.RecordConstructorArgs,
):
    """Flattens the Box observation, and maps [-1, 1] to the index of a discrete action."""

    def __init__(self, env: BoxEnv, where: str) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, where=where)
        gym.Wrapper.__init__(self, env)
        obs_space = require_box(env.observation_space, "observation", where)
        own_action_space: object = env.action_space
        if not isinstance(own_action_space, Discrete) or own_action_space.n < 2:
            raise EnvError(
                f"{where} has the action space {own_action_space}, expected Discrete with at least"
                " two actions; choose another environment"
            )
        self._last_number = int(own_action_space.n) - 1
        self._first = int(own_action_space.start)
        self.observation_space = Box(-np.inf, np.inf, (math.prod(obs_space.shape),), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    @property
    def command_low(self) -> tuple[float, ...]:
        """The smallest index."""
        return (0.0,)

    @property
    def command_high(self) -> tuple[float, ...]:
        """The largest index."""
        return (float(self._last_number),)

    @property
    def choices(self) -> tuple[tuple[float, ...], ...]:
        """Every index."""
        return tuple((float(number),) for number in range(self._last_number + 1))

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Start an episode; return its first obs [O]."""
        obs, info = self.env.reset(seed=seed, options=options)
        return flat_float32(obs), own_info(info)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take the discrete action nearest to `action` [1]."""
        index = round((float(action[0]) + 1.0) / 2.0 * self._last_number)
        own_action = np.int64(self._first + index)
        obs, reward, terminated, truncated, info = self.env.step(own_action)  # type: ignore[arg-type]  # BoxEnv stands for any environment until it is wrapped
        return flat_float32(obs), float(reward), bool(terminated), bool(truncated), own_info(info)
