"""Environments whose actions are numbers."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from training_process import TINY

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.action import ActionScaling
from sim_training.environments.env import gymnasium_task, make_env
from sim_training.evaluation.policy_evaluation import evaluate_policy


class FromSeven(gymnasium.Env):
    """Its actions are 7, 8, 9 and 10; the observation is the last one."""

    observation_space = Box(-np.inf, np.inf, (1, 1), np.float64)
    action_space = Discrete(4, start=7)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        return np.zeros((1, 1)), {}

    def step(self, action: np.int64) -> tuple:
        assert self.action_space.contains(action)
        return np.full((1, 1), float(action)), 0.0, False, False, {}


gymnasium.register("FromSeven-v0", FromSeven, max_episode_steps=5)


def test_every_choice_is_the_number_it_stands_for() -> None:
    task = gymnasium_task("FromSeven-v0")
    env = make_env(task)
    env.reset(seed=0)
    actions = ActionScaling(task.action).actions_of_choices()

    assert actions is not None
    assert [env.step(action.astype(np.float32))[0][0] for action in actions] == [7, 8, 9, 10]
    assert task.action.choices == ((0.0,), (1.0,), (2.0,), (3.0,))


def test_gymnasiums_checker_passes() -> None:
    with pytest.warns(UserWarning, match="unwrapped version|infinity"):
        check_env(make_env(gymnasium_task("CartPole-v1")), skip_render_check=True)


def test_cart_pole_is_trained_and_evaluated_by_numbers(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("train", "--env", "CartPole-v1", "--algorithm", "sac_discrete", *TINY)

    assert run([*command, "--steps", "300", "--num-envs", "2", "--out", str(out)]) == 0

    policy = OnnxPolicy.load(out / "policy.onnx")
    returns = evaluate_policy(policy, num_episodes=5, seed=0)
    assert all(8.0 <= value <= 500.0 for value in returns)
    assert run(["evaluate", str(out / "policy.onnx"), "--episodes", "2", "--sampled"]) == 0


def test_continuous_algorithm_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--env", "CartPole-v1", "--out", str(tmp_path / "run")]) == 2

    errors = capsys.readouterr().err
    assert "--algorithm sac_discrete" in errors and errors.count("\n") == 1
