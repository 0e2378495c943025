"""Commands and transitions to ROS messages and back."""

import importlib
from array import array
from functools import cache

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.clock import Clock
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sac_ros.nodes.messages.command_message import POINT_FIELDS
from sac_ros.task.action_spec import ActionSpec
from sac_ros.task.transition import (
    STAMP_LABELS,
    Transition,
    pack_with_stamps,
    packed_layout,
    unpack_labelled,
)


def message_class(type_name: str) -> type:
    """Return the message class of a name such as `sensor_msgs/msg/JointState`."""
    package, _, name = type_name.partition("/msg/")
    cls: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return cls


def command_message(
    spec: ActionSpec, command: NDArray[np.float64], control_period_s: float, clock: Clock
) -> object:
    """Return the message that carries one command [A], as the task's action type says."""
    if spec.type == "std_msgs/msg/Float64MultiArray":
        return Float64MultiArray(data=array("d", command.tobytes()))
    if spec.type == "trajectory_msgs/msg/JointTrajectory":
        return _trajectory(spec, command, control_period_s)
    twist = _twist(spec, command)
    if spec.type == "geometry_msgs/msg/Twist":
        return twist
    stamped = TwistStamped(twist=twist)
    stamped.header.stamp = clock.now().to_msg()
    return stamped


def _trajectory(
    spec: ActionSpec, command: NDArray[np.float64], control_period_s: float
) -> JointTrajectory:
    """Return one point to be reached a control period from now (a stamp of zero means now)."""
    seconds = int(control_period_s)
    point = JointTrajectoryPoint(
        time_from_start=Duration(sec=seconds, nanosec=round((control_period_s - seconds) * 1e9))
    )
    setattr(point, POINT_FIELDS[spec.kind], command.tolist())
    return JointTrajectory(joint_names=list(spec.joints), points=[point])


def _twist(spec: ActionSpec, command: NDArray[np.float64]) -> Twist:
    twist = Twist()
    for name, value in zip(spec.joints, command, strict=True):
        part, _, axis = name.partition(".")
        setattr(getattr(twist, part), axis, float(value))
    return twist


def transition_message(transition: Transition) -> Float64MultiArray:
    """Return the packed transition and its stamps; each dimension labels one part.

    ament_python packages cannot generate messages of their own. With the labels,
    `ros2 topic echo` and recorded bags still explain themselves.
    """
    return Float64MultiArray(
        layout=_transition_layout(
            len(transition.obs), len(transition.action), len(transition.obs_stamps_s)
        ),
        data=array("d", pack_with_stamps(transition).tobytes()),
    )


@cache
def _transition_layout(obs_dim: int, action_dim: int, num_stamps: int) -> MultiArrayLayout:
    """Return the labels; every transition of a task has the same."""
    layout = MultiArrayLayout()
    offset = 0
    for label, size in (
        *packed_layout(obs_dim, action_dim),
        *((label, num_stamps) for label in STAMP_LABELS if num_stamps),
    ):
        layout.dim.append(MultiArrayDimension(label=label, size=size, stride=offset))
        offset += size
    return layout


def transition_from_message(
    message: Float64MultiArray, obs_dim: int, action_dim: int
) -> Transition:
    """Return the transition of one message; raise TransitionError if it is malformed."""
    row = np.array(message.data, dtype=np.float64)
    labels = [dimension.label for dimension in message.layout.dim]
    return unpack_labelled(row, labels, obs_dim, action_dim)
