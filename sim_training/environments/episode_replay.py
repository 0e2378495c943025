"""Resume any deterministic environment exactly, by repeating the actions of its episode.

Simulators do not offer their complete state. An episode, however, is a function of the random state
before its reset and of the actions since. Both are small; repeating them takes less than a second.

Shapes: T steps so far in the episode, O obs_dim, A action_dim.
"""

import json
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """Seed, random state and actions that reproduce the current state of an episode."""

    seed: int
    """The last seed the environment was given."""
    rng_state: str | None
    """JSON: state of its generator before the current reset; None if that reset had the seed."""
    actions: NDArray[np.float32]  # [T, A]
    obs: NDArray[np.float32]
    """The current observation [O], to check that repeating the actions leads to it again."""


class ReplayableEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
):
    """An environment that records its seed and actions, so that its episode can be repeated."""

    def __init__(self, env: gym.Env[NDArray[np.float32], NDArray[np.float32]]) -> None:
        super().__init__(env)
        self._seed: int | None = None
        self._rng_state: str | None = None
        self._actions: list[NDArray[np.float32]] = []
        self._obs = np.zeros(env.observation_space.shape or (), dtype=np.float32)

    @property
    def obs(self) -> NDArray[np.float32]:
        """The current observation [O]."""
        return self._obs

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Start an episode; the first reset needs a seed."""
        if seed is not None:
            self._seed, self._rng_state = seed, None
        elif self._seed is None:
            raise ValueError("the first reset needs a seed, or its episode cannot be repeated")
        else:
            self._rng_state = json.dumps(self.np_random.bit_generator.state)
        self._actions = []
        self._obs, info = self.env.reset(seed=seed, options=options)
        return self._obs, info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take an action [A] and record it."""
        # A copy, because vector environments pass views of an array that they reuse.
        self._actions.append(np.array(action, dtype=np.float32))
        self._obs, reward, terminated, truncated, info = self.env.step(self._actions[-1])
        return self._obs, float(reward), terminated, truncated, info

    def record(self) -> EpisodeRecord:
        """Return the record that `replay` needs."""
        if self._seed is None:
            raise ValueError("there is no episode to record before the first reset")
        action_shape = self.action_space.shape or ()
        return EpisodeRecord(
            seed=self._seed,
            rng_state=self._rng_state,
            actions=np.array(self._actions, dtype=np.float32).reshape(-1, *action_shape),
            obs=self._obs.copy(),
        )

    def replay(self, record: EpisodeRecord) -> bool:
        """Repeat a recorded episode; return whether it led to the recorded observation.

        If not, the environment is not deterministic, and a new episode has been started.
        """
        # Seeded also if a random state follows: environments may seed more than np_random.
        self.reset(seed=record.seed)
        if record.rng_state is not None:
            self.np_random.bit_generator.state = json.loads(record.rng_state)
            self.reset()
        has_ended = False
        for action in record.actions:
            _, _, terminated, truncated, _ = self.step(action)
            has_ended = terminated or truncated
            if has_ended:
                break
        if has_ended or not np.array_equal(self._obs, record.obs):
            self.reset()
            return False
        return True
