"""Environments that do what Gymnasium allows, and training must not depend on."""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from sim_training.environments.box_env import in_range
from sim_training.environments.env import gymnasium_task, make_vector_env, successor_obs

EPISODE_STEPS = 5


class InPlaceEnv(gym.Env[NDArray[np.generic], object]):
    """Counts its steps in one array that it hands out and goes on changing."""

    def __init__(self, dtype: str, is_discrete: bool) -> None:
        self._obs = np.zeros((2, 1), dtype=dtype)
        self.observation_space = Box(-np.inf, np.inf, (2, 1), np.dtype(dtype).type)
        self.action_space = Discrete(2) if is_discrete else Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.generic], dict[str, object]]:
        super().reset(seed=seed)
        self._step, self._obs[:] = 0, 0.0
        return self._obs, self._info()

    def step(
        self, action: object
    ) -> tuple[NDArray[np.generic], float, bool, bool, dict[str, object]]:
        self._step += 1
        self._obs[:] = self._step
        return self._obs, 1.0, False, self._step >= EPISODE_STEPS, self._info()

    def _info(self) -> dict[str, object]:
        """Return entries of another shape and type at each step."""
        rng = np.random.default_rng(self._step)
        return {"contacts": rng.random(self._step), "note": None if self._step % 2 else "even"}


for name in ("float32", "float64"):
    for kind in (True, False):
        gym.register(
            id=f"InPlace-{name}-{'discrete' if kind else 'box'}-v0",
            entry_point=InPlaceEnv,
            kwargs={"dtype": name, "is_discrete": kind},
        )


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_observations_stay_as_they_were_and_foreign_info_is_not_stacked(
    dtype: str, kind: str, num_envs: int
) -> None:
    envs = make_vector_env(gymnasium_task(f"InPlace-{dtype}-{kind}-v0"), num_envs)
    obs, _ = envs.reset(seed=0)
    for step in range(2 * EPISODE_STEPS):
        before = obs.copy()
        next_obs, _, terminated, truncated, info = envs.step(np.zeros((num_envs, 1), np.float32))
        successor = successor_obs(next_obs, terminated | truncated, info)
        number = step % EPISODE_STEPS
        assert (before == number).all() and (successor == number + 1).all()
        obs = next_obs
    envs.close()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bounds_of_every_floating_type_are_met_exactly(dtype: type) -> None:
    rng = np.random.default_rng(0)
    low = np.round(rng.uniform(-100.0, 0.0, 500), 2).astype(dtype)
    high = (low + np.round(rng.uniform(0.1, 100.0, 500), 2)).astype(dtype)
    space = Box(low, high, dtype=dtype)
    ones = np.ones(500, np.float32)
    np.testing.assert_array_equal(in_range(-ones, space), low)
    np.testing.assert_array_equal(in_range(ones, space), high)
    np.testing.assert_array_equal(in_range(2.0 * ones, space), high)
    for _ in range(50):
        assert space.contains(in_range(rng.uniform(-1.0, 1.0, 500).astype(np.float32), space))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 4), (0, 100)])
def test_integers_have_equal_shares(dtype: type, low: int, high: int) -> None:
    space = Box(low, high, (1,), dtype)
    num_choices = high - low + 1
    actions = np.linspace(-1.0, 1.0, 1000 * num_choices, dtype=np.float32)
    own = np.array([in_range(action[None], space)[0] for action in actions])
    values, counts = np.unique(own, return_counts=True)
    assert own.dtype == dtype and values.tolist() == list(range(low, high + 1))
    assert counts.min() >= 995 and counts.max() <= 1005


@pytest.mark.parametrize("name", ["beside_the_user", "also_beside_the_user"])
def test_module_in_the_current_folder_registers_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / f"{name}.py").write_text(
        "import gymnasium as gym\n"
        f"gym.register(id='Mine-{name}-v0',"
        " entry_point='gymnasium.envs.classic_control:PendulumEnv')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    assert gymnasium_task(f"{name}:Mine-{name}-v0").obs_dim == 3
