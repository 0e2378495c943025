"""A robot that is not the simulator: each way to differ does what it says, and nothing else."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sac_ros.errors import InputError
from sac_ros.task.task_spec import load_task
from sim_training.environments.box_env import EnvError
from sim_training.environments.env import gymnasium_task, make_env
from sim_training.environments.episode_replay import ReplayableEnv
from sim_training.environments.task_env import TaskEnv
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import Perturbation
from sim_training.terminal.options import OptionError
from sim_training.training.train_options import read_train_request

PENDULUM = load_task("inverted_pendulum")
CHEETAH = load_task("half_cheetah")

MODEL_FIELDS = {
    "friction": "geom_friction",
    "body_mass": "body_mass",
    "actuator_gain": "actuator_gainprm",
    "joint_damping": "dof_damping",
    "joint_range": "jnt_range",
}


@pytest.mark.parametrize("name", MODEL_FIELDS)
def test_factor_changes_its_own_part_of_the_model_and_no_other(name: str) -> None:
    nominal = MujocoRobot(CHEETAH).model
    perturbed = MujocoRobot(CHEETAH, Perturbation(**{name: 0.5})).model

    for other, field in MODEL_FIELDS.items():
        before, after = getattr(nominal, field).copy(), getattr(perturbed, field)
        if other != name:
            np.testing.assert_array_equal(after, before)
            continue
        changed = after != before
        assert changed.any()
        # HalfCheetah's start pose is all zeros, so its joint limits halve too.
        np.testing.assert_allclose(after[changed], 0.5 * before[changed])


def test_gravity_is_felt_in_free_fall() -> None:
    robot = MujocoRobot(CHEETAH, Perturbation(gravity=0.5))
    robot.reset(np.random.default_rng(0))
    robot.data.qpos[:], robot.data.qvel[:] = 0.0, 0.0
    robot.data.qpos[1] = 10.0  # rootz: well above the ground

    robot.step()
    mujoco.mj_forward(robot.model, robot.data)
    # Of the whole robot: its springs move its parts against each other.
    mujoco.mj_subtreeVel(robot.model, robot.data)

    fallen = robot.data.subtree_linvel[1][2] / robot.timestep_s
    np.testing.assert_allclose(fallen, -0.5 * 9.81, rtol=1e-2)


def test_heavier_robot_answers_the_same_force_with_less_acceleration() -> None:
    accelerations = []
    for body_mass in (1.0, 2.0):
        robot = MujocoRobot(PENDULUM, Perturbation(body_mass=body_mass, joint_damping=0.0))
        robot.data.qpos[:], robot.data.qvel[:] = 0.0, 0.0
        robot.set_command(np.array([1000.0]))
        robot.step()
        accelerations.append(robot.velocity[0] / robot.timestep_s)
    # Not exactly half: the model has armature, which is not mass.
    assert 0.4 < accelerations[1] / accelerations[0] < 0.75


def test_command_is_felt_after_its_delay_and_the_safe_command_until_then() -> None:
    robot = MujocoRobot(PENDULUM, Perturbation(command_delay_steps=2))
    robot.reset(np.random.default_rng(0))
    steps = 2 * robot.steps_per_control
    efforts = []
    for step in range(steps + 2):
        robot.set_command(np.array([100.0 + step]))
        robot.step()
        efforts.append(robot.effort[0])
    assert efforts == [0.0] * steps + [100.0, 101.0]


def test_reset_empties_the_delay_line() -> None:
    robot = MujocoRobot(PENDULUM, Perturbation(command_delay_steps=1))
    robot.reset(np.random.default_rng(0))
    robot.set_command(np.array([100.0]))
    robot.step()
    robot.reset(np.random.default_rng(0))
    for _ in range(robot.steps_per_control):
        robot.step()
        assert robot.effort[0] == 0.0


def test_noise_has_the_stated_deviation_and_leaves_the_physics_alone() -> None:
    robot = MujocoRobot(CHEETAH, Perturbation(observation_noise=0.2))
    robot.reset(np.random.default_rng(0))
    true = robot.data.qpos.copy()

    looks = np.array([robot.position for _ in range(2000)])

    np.testing.assert_array_equal(robot.data.qpos, true)
    np.testing.assert_allclose(looks.std(axis=0), 0.2, rtol=0.1)
    np.testing.assert_allclose(looks.mean(axis=0), true, atol=0.02)


@pytest.mark.parametrize("name", ["half_cheetah", "hopper", "walker2d", "inverted_pendulum"])
def test_seen_as_a_robot_a_gymnasium_environment_is_the_same(name: str) -> None:
    """What is trained in a perturbed robot compares with what was trained in the environment."""
    task = load_task(name)
    env, robot_env = make_env(task), TaskEnv(task)
    obs, _ = env.reset(seed=3)
    start = env.unwrapped.data  # type: ignore[attr-defined]
    robot_env.reset(seed=3)
    robot_env._robot.data.qpos[:], robot_env._robot.data.qvel[:] = start.qpos, start.qvel
    mujoco.mj_forward(robot_env._robot.model, robot_env._robot.data)
    robot_env._readings = robot_env._robot.readings()
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (50, task.action_dim)):
        obs, reward, terminated, _, _ = env.step(action.astype(np.float32))
        seen, rewarded, ended, _, _ = robot_env.step(action.astype(np.float32))
        np.testing.assert_allclose(seen, obs, rtol=1e-4, atol=1e-4)
        assert rewarded == pytest.approx(reward, abs=1e-4) and ended == terminated
        if terminated:
            break


def test_perturbed_episode_is_a_function_of_seed_and_actions() -> None:
    perturbation = Perturbation(observation_noise=0.1, command_delay_steps=1, gravity=1.5)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 1)).astype(np.float32)
    env = ReplayableEnv(make_env(replace(PENDULUM, termination=()), perturbation=perturbation))
    env.reset(seed=5)
    for action in actions:
        env.step(action)

    again = ReplayableEnv(make_env(replace(PENDULUM, termination=()), perturbation=perturbation))

    assert again.replay(env.record())


def test_environment_without_named_joints_cannot_be_perturbed() -> None:
    with pytest.raises(EnvError, match="--task"):
        make_env(gymnasium_task("Pendulum-v1"), perturbation=Perturbation(gravity=2.0))


@pytest.mark.parametrize(
    ("option", "reason"),
    [("body-mass=0", "body_mass must be positive"), ("gravity=-1", "gravity must be at least 0")],
)
def test_impossible_robot_is_refused_by_name(option: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        read_train_request(["--task", "half_cheetah", f"--perturbation.{option}"])
    assert isinstance(refusal.value, OptionError)
