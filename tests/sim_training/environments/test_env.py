"""What the learner sees of an environment."""

import math

import numpy as np
import pytest
import recognisable_env

from sac_ros.task.task_spec import generic_task, load_task
from sim_training.environments.box_env import EnvError
from sim_training.environments.env import gymnasium_task, make_env, make_vector_env, successor_obs


@pytest.mark.parametrize("num_envs", [1, 3])
def test_ended_step_leads_to_the_true_final_observation(num_envs: int) -> None:
    envs = make_vector_env(gymnasium_task("Recognisable-v0"), num_envs)
    envs.reset(seed=list(range(num_envs)))
    action = np.zeros((num_envs, 1), dtype=np.float32)

    for _ in range(recognisable_env.EPISODE_LENGTH):
        next_obs, _, terminated, truncated, info = envs.step(action)

    successor = successor_obs(next_obs, terminated | truncated, info)
    # Obs is [seed, episode, step].
    assert next_obs.tolist() == [[seed, 1, 0] for seed in range(num_envs)]
    assert successor.tolist() == [[seed, 0, 4] for seed in range(num_envs)]
    assert truncated.all() and not terminated.any()


def test_only_the_environment_that_ended_gets_its_final_observation() -> None:
    next_obs = np.array([[0.0], [1.0]], dtype=np.float32)
    final_obs = np.array([None, np.array([9.0], dtype=np.float32)], dtype=object)

    successor = successor_obs(next_obs, np.array([False, True]), {"final_obs": final_obs})

    assert successor.tolist() == [[0.0], [9.0]]
    assert next_obs.tolist() == [[0.0], [1.0]]


def test_termination_and_truncation_stay_apart() -> None:
    env = make_env(gymnasium_task("RecognisableEnding-v0"))
    env.reset(seed=0)

    flags = [env.step(np.zeros(1, dtype=np.float32))[2:4] for _ in range(4)]

    assert flags == [(False, False)] * 3 + [(True, False)]


@pytest.mark.parametrize(
    ("action", "torque"), [((-1.0, -1.0), (-2.0, 0.0)), ((1.0, 1.0), (2.0, 10.0)), ((0, 0), (0, 5))]
)
def test_action_is_rescaled_to_the_environments_range(
    action: tuple[float, float], torque: tuple[float, float]
) -> None:
    env = make_env(gymnasium_task("WideAction-v0"))
    env.reset(seed=0)

    env.step(np.array(action, dtype=np.float32))

    np.testing.assert_array_equal(env.unwrapped.last_action, [torque])  # type: ignore[attr-defined]


def test_pendulum_gets_its_full_torque() -> None:
    env = make_env(gymnasium_task("Pendulum-v1"))
    env.reset(seed=0)

    env.step(np.ones(1, dtype=np.float32))

    assert env.unwrapped.last_u == 2.0  # type: ignore[attr-defined]


def test_trained_environment_is_gymnasiums_own() -> None:
    import gymnasium as gym

    ours, own = make_env(load_task("inverted_pendulum")), gym.make("InvertedPendulum-v5")
    obs, own_obs = ours.reset(seed=3)[0], own.reset(seed=3)[0]
    np.testing.assert_array_equal(obs, own_obs.astype(np.float32))
    for _ in range(20):
        # Its range is [-3, 3] N on a gear of 100.
        obs, reward, terminated, truncated, _ = ours.step(np.array([0.25], dtype=np.float32))
        own_step = own.step(np.array([0.75], dtype=np.float32))
        np.testing.assert_array_equal(obs, own_step[0].astype(np.float32))
        assert (reward, terminated, truncated) == own_step[1:4]


@pytest.mark.parametrize(
    ("env_id", "reason"),
    [
        ("Pendulm-v1", "Did you mean: `Pendulum`"),
        ("HalfCheetah-v9", "v5"),
        ("no_such_package:Env-v0", "No module named"),
        ("not an id", "Malformed"),
        ("FrozenLake-v1", "Discrete"),
        ("UnboundedAction-v0", "finite"),
    ],
)
def test_unusable_environment_is_refused_with_its_reason(env_id: str, reason: str) -> None:
    with pytest.raises(EnvError, match=reason) as refusal:
        gymnasium_task(env_id)
    assert env_id in str(refusal.value)


def test_task_that_contradicts_its_environment_is_refused() -> None:
    task = generic_task(
        gymnasium_id="Pendulum-v1",
        obs_dim=4,
        action_low=(-2.0,),
        action_high=(2.0,),
        control_period_s=0.05,
        max_steps=200,
    )
    with pytest.raises(EnvError, match="4 observation"):
        make_env(task)


def test_time_limit_is_the_tasks() -> None:
    env = make_env(gymnasium_task("Pendulum-v1"))
    env.reset(seed=0)

    flags = [env.step(np.zeros(1, dtype=np.float32))[2:4] for _ in range(200)]

    assert flags[-2:] == [(False, False), (False, True)]


def test_description_of_an_environment_has_its_ranges_and_period() -> None:
    task = gymnasium_task("Pendulum-v1")

    assert (task.obs_dim, task.action.low, task.action.high) == (3, (-2.0,), (2.0,))
    assert math.isclose(task.control_period_s, 0.05)
    assert task.max_episode_steps == 200


def test_environment_without_a_time_limit_is_cut_at_a_thousand_steps() -> None:
    assert gymnasium_task("Recognisable-v0").max_episode_steps == 1000
