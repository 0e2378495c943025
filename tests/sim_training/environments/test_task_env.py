"""The environment made of a task file and a model: what the robot will read, in simulation."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.task.task_spec import TaskError, load_task
from sim_training.environments.env import make_env
from sim_training.environments.task_env import TaskEnv
from sim_training.robot.mujoco_robot import MujocoRobot

TASK = load_task("two_joint_arm")


@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity.*")
def test_gymnasiums_own_checker_finds_nothing_wrong() -> None:
    check_env(TaskEnv(TASK), skip_render_check=True)


def test_environment_and_control_loop_agree_number_for_number() -> None:
    """The node's control loop, fed with the same robot, makes the environment's transitions."""
    env, robot = TaskEnv(TASK), MujocoRobot(TASK)
    obs, _ = env.reset(seed=5)
    robot.reset(gymnasium.utils.seeding.np_random(5)[0])
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (100, TASK.action_dim))
    asked = iter(actions.astype(np.float32))
    control_loop = ControlLoop(TASK, lambda _: next(asked), max_episode_steps=None)
    tick = control_loop.tick(robot.readings())
    for action in actions.astype(np.float32)[:99]:
        next_obs, reward, terminated, _, info = env.step(action)
        robot.set_command(tick.command)
        for _ in range(robot.steps_per_control):
            robot.step()
        tick = control_loop.tick(robot.readings())
        assert tick.transition is not None
        np.testing.assert_array_equal(tick.transition.obs, obs)
        np.testing.assert_array_equal(tick.transition.next_obs, next_obs)
        np.testing.assert_array_equal(tick.transition.action, info["executed_action"])
        assert tick.transition.reward == reward and tick.transition.terminated == terminated
        obs = next_obs


def test_executed_action_obeys_the_rate_limit() -> None:
    env = TaskEnv(TASK)
    obs, _ = env.reset(seed=0)
    start = obs[:2]  # the first command goes on from where the arm is
    _, _, _, _, info = env.step(np.ones(2, dtype=np.float32))
    assert TASK.action.rate_limit is not None
    largest = TASK.action.rate_limit[0] * TASK.control_period_s / 2.5
    assert np.all(info["executed_action"] - start <= largest + 1e-6)
    assert np.all(info["executed_action"] > start)


def test_shipped_arm_can_reach_the_pose_that_it_is_rewarded_for() -> None:
    robot = MujocoRobot(TASK)
    robot.reset(np.random.default_rng(0))
    target = np.array(TASK.reward[0].target)
    robot.set_command(target)
    for _ in range(400):  # 2 s
        robot.step()
    np.testing.assert_allclose(robot.position, target, atol=0.1)


def test_gymnasium_task_that_limits_its_commands_trains_behind_the_filter() -> None:
    cheetah = load_task("half_cheetah")
    limited = replace(cheetah, action=replace(cheetah.action, rate_limit=(120.0,) * 6))
    env = make_env(limited)
    env.reset(seed=0)
    _, _, _, _, info = env.step(np.ones(6, dtype=np.float32))
    np.testing.assert_allclose(info["executed_action"][0], 120.0 * 0.05 / 120.0)
    env.close()


def test_model_without_the_tasks_joint_is_refused() -> None:
    channel = replace(TASK.observation[0], joints=("shoulder", "wrist"))
    with pytest.raises(TaskError, match="'wrist'"):
        MujocoRobot(replace(TASK, observation=(channel, *TASK.observation[1:])))


def test_control_period_that_is_no_multiple_of_the_time_step_is_refused() -> None:
    with pytest.raises(TaskError, match="multiple"):
        MujocoRobot(replace(TASK, control_period_s=0.0213))


def test_model_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(TaskError, match="cannot load"):
        MujocoRobot(replace(TASK, simulator=replace(TASK.simulator, mjcf="/nowhere/arm.xml")))
