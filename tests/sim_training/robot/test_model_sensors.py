"""Readings that are no joints', from the model's sensors of the same names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from imu_arm import READINGS, SENSORS, write_imu_arm

from sac_ros.command_line import run
from sac_ros.task.task_spec import TaskError, load_task
from sim_training.environments.task_env import TaskEnv
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import NOMINAL, Perturbation

LAG_RAD = 0.05
"""How far the arm moves in a physics step at most, in rad: what sensors lag behind."""


def arm(folder: Path, perturbation: Perturbation = NOMINAL, steps: int = 20) -> MujocoRobot:
    """Return an arm that has begun to swing, for 0.1 s if nothing else is asked for."""
    robot = MujocoRobot(load_task(str(write_imu_arm(folder))), perturbation)
    robot.reset(np.random.default_rng(0))
    robot.set_command(np.array([1.0, 0.5]))
    for _ in range(steps):
        robot.step()
    return robot


def test_sensors_tell_what_the_joints_tell(tmp_path: Path) -> None:
    readings = arm(tmp_path).readings()

    turn = readings["joint_velocities"].sum()
    assert abs(turn) > 0.5
    np.testing.assert_allclose(readings["hand_turn"], [0.0, turn, 0.0], atol=0.1 * abs(turn))
    half = readings["joint_angles"].sum() / 2.0
    about_y = [0.0, np.sin(half), 0.0, np.cos(half)]  # x, y, z, w, as in ROS
    np.testing.assert_allclose(readings["hand_attitude"], about_y, atol=LAG_RAD)
    shoulder, both = readings["joint_angles"][0], readings["joint_angles"].sum()
    place = [-0.35 * np.sin(shoulder) - 0.3 * np.sin(both), 0.0]
    np.testing.assert_allclose(readings["hand_place"][:2], place, atol=LAG_RAD)


def test_sensors_are_late_and_noisy_like_the_joints(tmp_path: Path) -> None:
    at_start = arm(tmp_path, steps=0).readings()
    late = arm(tmp_path, Perturbation(observation_delay_s=0.1)).readings()
    noisy_robot = arm(tmp_path, Perturbation(observation_noise=0.1))
    noisy = [noisy_robot.readings() for _ in range(2)]

    for name in ("hand_turn", "hand_attitude", "hand_place"):
        np.testing.assert_array_equal(late[name], at_start[name])
        assert (arm(tmp_path).readings()[name] != late[name]).any()
    assert (noisy[0]["hand_turn"] != noisy[1]["hand_turn"]).all()
    # A quaternion with noise would be none.
    np.testing.assert_array_equal(noisy[0]["hand_attitude"], noisy[1]["hand_attitude"])
    assert np.linalg.norm(noisy[0]["hand_attitude"]) == pytest.approx(1.0)


def test_robot_with_an_imu_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ("--sac.hidden-sizes", "8", "--sac.learning-starts", "50", "--no-compiled")
    command = ("--task", str(write_imu_arm(tmp_path)), "--steps", "80", "--eval-episodes", "1")

    assert run(["train", *command, *small, "--perturbation.gravity", "0.5", "--out", str(out)]) == 0

    assert (out / "policy.onnx").exists()


def test_environment_shows_the_sensors_to_the_policy(tmp_path: Path) -> None:
    task = load_task(str(write_imu_arm(tmp_path)))
    env = TaskEnv(task)

    obs, _ = env.reset(seed=0)

    # Two angles twice, two velocities, then quaternion, turn and place.
    assert obs.shape == (task.obs_dim,) == (16,)
    assert np.linalg.norm(obs[6:10]) == pytest.approx(1.0)
    assert obs[15] == pytest.approx(0.6 - 0.65, abs=0.1)  # the arm hangs, near its start pose


@pytest.mark.parametrize(
    ("sensors", "readings", "reason"),
    [
        ("", READINGS, r"reads 'hand_attitude' \(orientation of sensor_msgs/msg/Imu\), but the .*"),
        (SENSORS, READINGS.replace("size: 3", "size: 2"), "'hand_place' has 3 values, but .* 2"),
    ],
)
def test_reading_that_the_model_cannot_supply_is_refused(
    tmp_path: Path, sensors: str, readings: str, reason: str
) -> None:
    task = load_task(str(write_imu_arm(tmp_path, sensors=sensors, readings=readings)))

    with pytest.raises(TaskError, match=reason):
        MujocoRobot(task)


def test_joints_of_what_is_no_joint_state_are_refused() -> None:
    channel = load_task("two_joint_arm").observation[0]

    with pytest.raises(ValueError, match="a JointState needs them, and nothing else"):
        replace(channel, type="sensor_msgs/msg/Imu", field="angular_velocity")
