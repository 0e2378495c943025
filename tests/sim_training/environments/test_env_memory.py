"""More environments than memory holds are refused before they are made."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box
from numpy.typing import NDArray

from sim_training.environments.env_memory import (
    MIN_ENVS_TO_PROBE,
    EnvMemoryError,
    refuse_more_envs_than_fit,
)

MIB = 2**20


class WeighingAMebibyte(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Takes its memory when its first episode begins, as simulators do."""

    observation_space = action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        self.ballast = np.ones(MIB, dtype=np.uint8)
        return np.zeros(1, dtype=np.float32), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        return np.zeros(1, dtype=np.float32), 0.0, False, False, {}


def test_more_environments_than_fit_are_refused_with_the_numbers() -> None:
    with pytest.raises(EnvMemoryError, match=r"num_envs 1000 needs .* at most") as refused:
        refuse_more_envs_than_fit(WeighingAMebibyte, 1000, available_bytes=500 * MIB)

    assert 400 < int(str(refused.value).rpartition(" ")[2]) <= 500


def test_environments_that_fit_are_not_refused() -> None:
    refuse_more_envs_than_fit(WeighingAMebibyte, 1000, available_bytes=2000 * MIB)


def test_few_environments_are_not_measured() -> None:
    def make() -> WeighingAMebibyte:
        raise AssertionError("made")

    refuse_more_envs_than_fit(make, MIN_ENVS_TO_PROBE - 1, available_bytes=0)
