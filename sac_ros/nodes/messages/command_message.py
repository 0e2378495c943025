"""The command that a message carries. Knows no ROS: recorded messages are read by it too."""

from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.task.action_spec import ActionSpec

POINT_FIELDS = {"position": "positions", "velocity": "velocities", "effort": "effort"}
"""Where a JointTrajectoryPoint holds each kind of command."""


class CommandMessageError(InputError):
    """A message holds no command for this robot."""


def command_from_message(spec: ActionSpec, message: object) -> NDArray[np.float64]:
    """Return the command [A] in the task's unit that a message of the task's action type carries.

    Raises CommandMessageError if its size, its joints or its numbers are wrong. It may lie outside
    of the task's limits.
    """
    if spec.type == "std_msgs/msg/Float64MultiArray":
        command = np.array(message.data, dtype=np.float64)  # type: ignore[attr-defined]
    elif spec.type == "trajectory_msgs/msg/JointTrajectory":
        command = _command_of_trajectory(spec, message)
    else:
        twist = message if spec.type == "geometry_msgs/msg/Twist" else message.twist  # type: ignore[attr-defined]
        command = np.array([attrgetter(name)(twist) for name in spec.joints], dtype=np.float64)
    if command.shape != (len(spec.joints),):
        raise CommandMessageError(
            f"{command.size} entries for the {len(spec.joints)} of {list(spec.joints)}"
        )
    if not np.isfinite(command).all():
        raise CommandMessageError(f"{command.tolist()} is not finite")
    return command


def _command_of_trajectory(spec: ActionSpec, message: object) -> NDArray[np.float64]:
    """Return the entries of its only point, in the task's order of joints."""
    names, points = message.joint_names, message.points  # type: ignore[attr-defined]
    if sorted(names) != sorted(spec.joints):
        raise CommandMessageError(f"joints {list(names)}, expected {list(spec.joints)}")
    if len(points) != 1:
        raise CommandMessageError(f"a trajectory of {len(points)} points, expected one")
    field = POINT_FIELDS[spec.kind]
    values = getattr(points[0], field)
    if len(values) != len(names):
        raise CommandMessageError(f"{len(values)} {field} for {len(names)} joints")
    entry = dict(zip(names, values, strict=True))
    return np.array([entry[joint] for joint in spec.joints], dtype=np.float64)
