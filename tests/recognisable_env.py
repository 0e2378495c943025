"""An environment whose every observation says which episode and step it belongs to."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

EPISODE_LENGTH = 4


class RecognisableEnv(gym.Env[NDArray[np.float64], NDArray[np.float32]]):
    """Obs is [seed, episode, step]; the reward is the step; every episode is cut at 4 steps."""

    observation_space = Box(-np.inf, np.inf, (3,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, terminates: bool = False, drifts: bool = False) -> None:
        self._terminates = terminates
        self._drifts = drifts
        self._seed = -1
        self._episode = -1
        self._step = 0
        self.noise = np.random.default_rng()

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, object]]:
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._episode = seed, -1
        self._episode += 1
        self._step = 0
        return self._obs(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, object]]:
        self._step += 1
        ended = self._step == EPISODE_LENGTH
        flags = (ended, False) if self._terminates else (False, ended)
        return self._obs(), float(self._step), *flags, {}

    def _obs(self) -> NDArray[np.float64]:
        drift = self.noise.random() if self._drifts else 0.0
        return np.array([self._seed, self._episode, self._step + drift])


class WideActionEnv(RecognisableEnv):
    """Remembers the last action; its ranges differ, and its action is a matrix."""

    action_space = Box(
        np.array([[-2.0, 0.0]], np.float32), np.array([[2.0, 10.0]], np.float32), dtype=np.float32
    )
    last_action: NDArray[np.float32]

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, object]]:
        self.last_action = action
        return super().step(action)


class UnboundedActionEnv(RecognisableEnv):
    """Its action may be anything."""

    action_space = Box(-np.inf, np.inf, (1,), np.float32)


def register() -> None:
    """Make the environments known to gymnasium.make, once."""
    gym.register("Recognisable-v0", RecognisableEnv)
    gym.register("RecognisableEnding-v0", RecognisableEnv, kwargs={"terminates": True})
    gym.register("Drifting-v0", RecognisableEnv, kwargs={"drifts": True})
    gym.register("WideAction-v0", WideActionEnv)
    gym.register("UnboundedAction-v0", UnboundedActionEnv)


register()
