"""The policy node measures the delays of a simulated robot whose delays are known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from linear_policy import write_linear_policy
from ros_processes import NodeProcess, Observer, observing

from sac_ros.policy.delay.delay_measurement import read_delays
from sac_ros.task.task_spec import load_task

pytestmark = [
    pytest.mark.ros,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium"),
]

TASK = load_task("two_joint_arm")
PHYSICS_STEP_S = 0.005


@pytest.fixture
def observer() -> Iterator[Observer]:
    with observing() as observer:
        yield observer


def exploring_policy(folder: Path) -> Path:
    gain = np.zeros((TASK.action_dim, TASK.obs_dim))
    return write_linear_policy(folder / "policy.onnx", TASK, gain, log_std=-1.0)


@pytest.mark.parametrize(
    ("command_steps", "sensor_s"), [(3, 0.0), (1, 0.03)], ids=["command", "both"]
)
@pytest.mark.long
def test_node_measures_the_delays_of_a_robot_and_writes_them(
    observer: Observer, tmp_path: Path, command_steps: int, sensor_s: float
) -> None:
    delays = tmp_path / "delays.yaml"
    with (
        NodeProcess(
            "sim_robot_node",
            "task:=two_joint_arm",
            f"command_delay_steps:={command_steps}",
            f"observation_delay_s:={sensor_s}",
            # What this machine adds counts for half of it.
            "real_time_factor:=0.5",
            log=tmp_path / "robot.log",
        ),
        NodeProcess(
            "policy_node",
            f"policy:={exploring_policy(tmp_path)}",
            "action_mode:=sample",
            "use_sim_time:=true",
            "autostart:=true",
            "measure_delay_s:=8.0",
            "max_age_s:=2.0",
            f"delays_file:={delays}",
            log=tmp_path / "policy.log",
        ) as node,
    ):
        observer.wait_until(
            lambda: "delay: command" in node.output or "not measured" in node.output,
            "the delays",
            patience_s=240.0,
        )
    measured = read_delays(delays)
    command, sensor = measured.command_delay_s, measured.sensor_delay_s
    # /clock comes a step late; a command waits for the next step, and for its turn on this machine.
    true_s = command_steps * TASK.control_period_s + sensor_s
    assert -1.5 * PHYSICS_STEP_S <= command.best + sensor.best - true_s <= 6.0 * PHYSICS_STEP_S
    assert -1.5 * PHYSICS_STEP_S <= sensor.best - sensor_s <= 6.0 * PHYSICS_STEP_S


def test_nothing_is_measured_in_shadow(tmp_path: Path) -> None:
    parameters = (f"policy:={exploring_policy(tmp_path)}", "shadow:=true", "measure_delay_s:=5.0")
    with NodeProcess(
        "policy_node", *parameters, "autostart:=true", log=tmp_path / "policy.log"
    ) as node:
        assert node.wait() == 2
        assert "no command has an effect" in node.output
