"""Another robot in every episode, within the stated ranges, and the same ones again on resuming."""

from dataclasses import fields, replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.errors import InputError
from sac_ros.policy.delay.delay_measurement import DelayMeasurement, DelayRange, delays_text
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml
from sac_ros.task.task_spec import load_task
from sim_training.environments.box_env import EnvError
from sim_training.environments.env import gymnasium_task, make_env
from sim_training.environments.episode_replay import ReplayableEnv
from sim_training.environments.task_env import TaskEnv
from sim_training.robot.domain_randomization import DomainRandomization
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import NOMINAL, Perturbation
from sim_training.training.train_options import read_train_request

ARM = load_task("two_joint_arm")
PENDULUM = load_task("inverted_pendulum")
RANGES = DomainRandomization(
    friction=(0.5, 2.0),
    body_mass=(0.5, 2.0),
    actuator_gain=(0.8, 1.25),
    joint_damping=(0.5, 2.0),
    command_delay_s=(0.0, 0.03),
    observation_delay_s=(0.0, 0.02),
    observation_noise=(0.0, 0.01),
    push_force_n=(0.0, 10.0),
    command_stall_s=(0.0, 0.1),
)
RANGES_FILE = package_share() / "config" / "randomization.yaml"
TRAIN = ("--task", "inverted_pendulum")


@given(st.integers(0, 2**32 - 1), st.floats(0.25, 4.0))
def test_every_draw_lies_within_its_range_around_the_robot_of_the_run(
    seed: int, gain: float
) -> None:
    robot = RANGES.draw(Perturbation(actuator_gain=gain, command_delay_s=0.1), rng_of(seed))
    for field in fields(RANGES):
        low, high = getattr(RANGES, field.name)
        value = getattr(robot, field.name)
        value /= gain if field.name == "actuator_gain" else 1.0
        value -= 0.1 if field.name == "command_delay_s" else 0.0
        assert low - 1e-9 <= value <= high + 1e-9, field.name


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_half_as_strong_is_drawn_as_often_as_twice_as_strong() -> None:
    rng = rng_of(0)
    masses = np.array([RANGES.draw(NOMINAL, rng).body_mass for _ in range(2000)])
    assert np.mean(masses < 1.0) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("task", [ARM, PENDULUM], ids=lambda task: task.name)
def test_each_episode_has_another_robot_and_its_seed_the_same_one(task: object) -> None:
    env = TaskEnv(task, randomization=RANGES)  # type: ignore[arg-type]
    masses = []
    for seed in (1, 2, 1):
        env.reset(seed=seed)
        masses.append(env._robot.model.body_mass.copy())
    assert not np.allclose(masses[0], masses[1])
    np.testing.assert_array_equal(masses[0], masses[2])
    nominal = MujocoRobot(task).model.body_mass  # type: ignore[arg-type]
    ratios = masses[0][1:] / nominal[1:]
    assert ratios.min() == pytest.approx(ratios.max()) and ratios.min() >= 0.5


def test_randomised_episode_is_a_function_of_seed_and_actions() -> None:
    task = replace(ARM, termination=())
    actions = rng_of(0).uniform(-1.0, 1.0, (300, 2)).astype(np.float32)
    env = ReplayableEnv(make_env(task, randomization=RANGES))
    env.reset(seed=5)
    env.reset()  # the second draw, from the generator as it is by then
    for action in actions[:100]:
        env.step(action)
    again = ReplayableEnv(make_env(task, randomization=RANGES))
    assert again.replay(env.record())


def test_robot_that_changes_again_and_again_does_not_add_up() -> None:
    robot = MujocoRobot(ARM)
    nominal = robot.model.body_mass.copy()
    for _ in range(3):
        robot.apply_perturbation(Perturbation(body_mass=2.0))
    np.testing.assert_allclose(robot.model.body_mass, 2.0 * nominal)
    robot.apply_perturbation(NOMINAL)
    np.testing.assert_array_equal(robot.model.body_mass, nominal)


def test_sensors_say_what_was_true_the_stated_time_ago() -> None:
    robot = MujocoRobot(ARM, Perturbation(observation_delay_s=0.02))
    robot.reset(rng_of(0))
    lag = round(0.02 / robot.timestep_s)
    true = []
    for step in range(50):
        true.append(robot.data.qpos.copy())
        np.testing.assert_array_equal(robot.position, true[max(0, step - lag)])
        robot.set_command(np.array([1.0, -1.0]))
        robot.step()


def test_commands_stall_now_and_then_and_no_longer_than_stated() -> None:
    robot = MujocoRobot(PENDULUM, Perturbation(command_stall_s=0.2))
    robot.reset(rng_of(0))
    commanded, applied = [], []
    for step in range(round(60.0 / robot.timestep_s)):
        robot.set_command(np.array([float(step)]))
        commanded.append(float(step))
        robot.step()
        applied.append(float(robot.data.ctrl[0] * robot.actuators.units[0]))
    age_s = (np.array(commanded) - np.array(applied)) * robot.timestep_s
    stalled = age_s > 0.5 * robot.timestep_s
    num_stalls = int(np.sum(np.diff(stalled.astype(int)) == 1))
    assert 15 <= num_stalls <= 45  # every 2 s on average
    # A stall that begins between two physics steps lasts up to one step longer.
    assert 0.1 < age_s.max() <= 0.2 + robot.timestep_s
    assert age_s[~stalled] == pytest.approx(0.0, abs=1e-9)  # then the newest command applies


def test_pushes_come_now_and_then_and_no_stronger_than_stated() -> None:
    robot = MujocoRobot(ARM, Perturbation(push_force_n=10.0))
    robot.reset(rng_of(0))
    forces_n = []
    for _ in range(round(60.0 / robot.timestep_s)):
        robot.step()
        forces_n.append(np.linalg.norm(robot.data.xfrc_applied[:, :3], axis=1).max())
    pushed = np.array(forces_n) > 0.0
    num_pushes = int(np.sum(np.diff(pushed.astype(int)) == 1))
    assert 15 <= num_pushes <= 45  # every 2 s on average
    assert max(forces_n) <= 10.0
    assert pushed.mean() == pytest.approx(num_pushes * 0.1 / 60.0, rel=0.15)
    robot.apply_perturbation(NOMINAL)
    robot.reset(rng_of(1))
    mujoco.mj_step(robot.model, robot.data)
    assert not robot.data.xfrc_applied.any()


def test_ranges_file_that_ships_is_read_and_options_override_it() -> None:
    config = read_train_request(
        [*TRAIN, "--randomize", str(RANGES_FILE), "--randomization.body-mass", "0.9", "1.1"]
    ).config
    expected = read_yaml(RANGES_FILE, DomainRandomization)
    assert not expected.is_none
    assert config.randomization == replace(expected, body_mass=(0.9, 1.1))


def test_delays_measured_on_a_robot_become_the_ranges_of_training(tmp_path: Path) -> None:
    path = tmp_path / "delays.yaml"
    measured = DelayMeasurement(
        task="inverted_pendulum",
        duration_s=30.0,
        explained=0.9,
        command_delay_s=DelayRange(best=0.03, low=0.028, high=0.034),
        sensor_delay_s=DelayRange(best=0.01, low=0.009, high=0.013),
    )
    path.write_text(delays_text(measured))
    ranges = read_train_request([*TRAIN, "--delays", str(path)]).config.randomization
    assert ranges == DomainRandomization(
        command_delay_s=(0.028, 0.034), observation_delay_s=(0.009, 0.013)
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--randomization.body-mass", "2.0", "1.0"), "body_mass must be LOW HIGH"),
        (("--randomization.actuator-gain", "0.0", "1.0"), "actuator_gain must be above 0"),
        (("--randomization.command-delay-s", "-0.1", "0.1"), "command_delay_s must be at least 0"),
        (("--randomize", "missing.yaml"), "missing.yaml"),
        (("--delays", "missing.yaml"), "missing.yaml"),
    ],
)
def test_ranges_that_hold_no_robot_are_refused(arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_train_request([*TRAIN, *arguments])


def test_environment_without_named_joints_cannot_be_randomised() -> None:
    with pytest.raises(EnvError, match="--task"):
        make_env(gymnasium_task("Pendulum-v1"), randomization=RANGES)
