"""An environment with numbered actions, seen as obs [O] and action [1] in [-1, 1].

The command of such an environment is the number of the action. Its choices lie evenly in [-1, 1],
so that loop, replay buffer and policy file treat it as they treat any task with choices.
"""

import math

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv, EnvError, flat_float32, require_box


class DiscreteActionEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    gym.utils.RecordConstructorArgs,
):
    """A Box observation, flattened, and the number of an action as a point of [-1, 1]."""

    def __init__(self, env: BoxEnv, where: str) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, where=where)
        gym.Wrapper.__init__(self, env)
        obs_space = require_box(env.observation_space, "observation", where)
        own_action_space: object = env.action_space
        if not isinstance(own_action_space, Discrete) or own_action_space.n < 2:
            raise EnvError(
                f"{where} has the action space {own_action_space}, expected a Discrete one of two"
                " actions or more; there is nothing to choose"
            )
        self._last_number = int(own_action_space.n) - 1
        self._first = int(own_action_space.start)
        self.observation_space = Box(-np.inf, np.inf, (math.prod(obs_space.shape),), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    @property
    def command_low(self) -> tuple[float, ...]:
        """The least number."""
        return (0.0,)

    @property
    def command_high(self) -> tuple[float, ...]:
        """The greatest number."""
        return (float(self._last_number),)

    @property
    def choices(self) -> tuple[tuple[float, ...], ...]:
        """Every number."""
        return tuple((float(number),) for number in range(self._last_number + 1))

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Begin an episode; return its first obs [O]."""
        obs, info = self.env.reset(seed=seed, options=options)
        return flat_float32(obs), info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take the action whose number this [1] is, or lies nearest to."""
        number = round((float(action[0]) + 1.0) / 2.0 * self._last_number)
        numbered = np.int64(self._first + number)
        obs, reward, terminated, truncated, info = self.env.step(numbered)  # type: ignore[arg-type]  # BoxEnv stands for any environment until it is wrapped
        return flat_float32(obs), float(reward), bool(terminated), bool(truncated), info
