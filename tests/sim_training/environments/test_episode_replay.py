"""An episode acted again ends where it was."""

import numpy as np
import pytest
import recognisable_env  # noqa: F401 - registers its environments

from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.env import gymnasium_task, make_env
from sim_training.environments.episode_replay import ReplayableEnv


def act_at_random(env: ReplayableEnv, num_steps: int) -> list[np.ndarray]:
    """Return the observations of that many steps, through the ends of episodes."""
    rng = np.random.default_rng(num_steps)
    observations = []
    for _ in range(num_steps):
        action = rng.uniform(-1.0, 1.0, env.action_space.shape or ()).astype(np.float32)
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset()
        observations.append(obs)
    return observations


def interrupted(task: TaskSpec, num_steps: int) -> tuple[ReplayableEnv, ReplayableEnv]:
    """Return an environment after some steps, and a fresh one that has replayed its record."""
    env, resumed = ReplayableEnv(make_env(task)), ReplayableEnv(make_env(task))
    env.reset(seed=5)
    act_at_random(env, num_steps)
    assert resumed.replay(env.record())
    return env, resumed


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "InvertedPendulum-v5", "HalfCheetah-v5"])
@pytest.mark.parametrize("num_steps", [0, 3, 230])
def test_replayed_environment_goes_on_identically(env_id: str, num_steps: int) -> None:
    env, resumed = interrupted(gymnasium_task(env_id), num_steps)

    np.testing.assert_array_equal(act_at_random(resumed, 300), act_at_random(env, 300))


def test_resume_of_a_resumed_environment_goes_on_identically() -> None:
    env, resumed = interrupted(gymnasium_task("InvertedPendulum-v5"), 40)
    act_at_random(env, 25)
    act_at_random(resumed, 25)
    again = ReplayableEnv(make_env(gymnasium_task("InvertedPendulum-v5")))

    assert again.replay(resumed.record())

    np.testing.assert_array_equal(act_at_random(again, 50), act_at_random(env, 50))


def test_environment_with_randomness_of_its_own_begins_a_new_episode() -> None:
    env, other = (ReplayableEnv(make_env(gymnasium_task("Drifting-v0"))) for _ in range(2))
    env.reset(seed=5)
    act_at_random(env, 2)

    assert not other.replay(env.record())
    assert int(other.obs[2]) == 0


def test_first_reset_without_a_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        ReplayableEnv(make_env(gymnasium_task("Pendulum-v1"))).reset()
