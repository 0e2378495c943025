"""Commands in messages: what the node sends it can read back, and what is no command is refused."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sac_ros.nodes.messages.command_message import CommandMessageError, command_from_message
from sac_ros.nodes.messages.message_conversion import (
    command_message,
)
from sac_ros.task.action_spec import ActionSpec

ARM = ActionSpec(
    topic="joint_commands",
    type="std_msgs/msg/Float64MultiArray",
    kind="position",
    joints=("shoulder", "elbow"),
    unit="rad",
    low=(-1.0, -2.0),
    high=(1.0, 2.0),
    safe_command=(0.0, 0.0),
    on_fault="safe_command",
)
BASE = replace(
    ARM, type="geometry_msgs/msg/Twist", kind="velocity", joints=("linear.x", "angular.z")
)
TRAJECTORY = replace(ARM, type="trajectory_msgs/msg/JointTrajectory")


@pytest.mark.parametrize(
    "spec",
    [
        ARM,
        *(replace(TRAJECTORY, kind=kind) for kind in ("position", "velocity", "effort")),
        BASE,
        replace(BASE, type="geometry_msgs/msg/TwistStamped"),
    ],
    ids=lambda spec: f"{spec.type} {spec.kind}",
)
def test_command_comes_back_from_its_message(spec: ActionSpec) -> None:
    command = np.array([0.25, -1.5])
    message = command_message(spec, command, 0.05, Clock())
    np.testing.assert_array_equal(command_from_message(spec, message), command)


def test_joints_of_a_trajectory_may_come_in_any_order() -> None:
    message = JointTrajectory(
        joint_names=["elbow", "shoulder"], points=[JointTrajectoryPoint(positions=[2.0, 1.0])]
    )
    np.testing.assert_array_equal(command_from_message(TRAJECTORY, message), [1.0, 2.0])


def trajectory(names: list[str], *points: dict[str, list[float]]) -> JointTrajectory:
    return JointTrajectory(
        joint_names=names, points=[JointTrajectoryPoint(**point) for point in points]
    )


NAMES = ["shoulder", "elbow"]
NAN_TWIST = Twist()
NAN_TWIST.angular.z = float("nan")


@pytest.mark.parametrize(
    ("spec", "message", "reason"),
    [
        (ARM, Float64MultiArray(data=[0.0]), "1 entries for the 2 of"),
        (ARM, Float64MultiArray(data=[0.0] * 1000), "1000 entries"),
        (ARM, Float64MultiArray(data=[0.0, float("inf")]), "not finite"),
        (TRAJECTORY, trajectory(["shoulder"], {"positions": [0.0]}), "expected"),
        (TRAJECTORY, trajectory(["shoulder", "wrist"], {"positions": [0.0, 0.0]}), "wrist"),
        (TRAJECTORY, trajectory(["shoulder", "shoulder"], {"positions": [0.0, 0.0]}), "joints"),
        (TRAJECTORY, trajectory(NAMES), "0 points"),
        (TRAJECTORY, trajectory(NAMES, {"positions": [0.0, 0.0]}, {}), "2 points"),
        (TRAJECTORY, trajectory(NAMES, {"velocities": [0.0, 0.0]}), "0 positions"),
        (BASE, NAN_TWIST, "not finite"),
        (
            replace(BASE, type="geometry_msgs/msg/TwistStamped"),
            TwistStamped(twist=NAN_TWIST),
            "not finite",
        ),
    ],
)
def test_message_that_holds_no_command_is_refused(
    spec: ActionSpec, message: object, reason: str
) -> None:
    with pytest.raises(CommandMessageError, match=reason):
        command_from_message(spec, message)
