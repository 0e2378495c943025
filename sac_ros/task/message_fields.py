"""Which fields of which ROS messages a task may read or write, as plain data.

The task room knows message types only by name, so that a workstation without ROS can train; the
ROS edge (nodes/message_conversion.py) turns these names into real messages.
"""

from typing import Literal

ReadableType = Literal[
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/Imu",
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/TwistStamped",
    "geometry_msgs/msg/WrenchStamped",
    "std_msgs/msg/Float64MultiArray",
]

CommandType = Literal[
    "std_msgs/msg/Float64MultiArray",
    "trajectory_msgs/msg/JointTrajectory",
    "geometry_msgs/msg/Twist",
    "geometry_msgs/msg/TwistStamped",
]

# Number of entries of each readable field. None: as many as the task says, by `joints` for a
# JointState (which names them in any order), by `size` for a bare array.
FIELD_SIZES: dict[str, dict[str, int | None]] = {
    "sensor_msgs/msg/JointState": {"position": None, "velocity": None, "effort": None},
    "sensor_msgs/msg/Imu": {
        "orientation": 4,  # ROS order x, y, z, w; MuJoCo has w first
        "angular_velocity": 3,
        "linear_acceleration": 3,
    },
    "nav_msgs/msg/Odometry": {
        "pose.pose.position": 3,
        "pose.pose.orientation": 4,
        "twist.twist.linear": 3,
        "twist.twist.angular": 3,
    },
    "geometry_msgs/msg/PoseStamped": {"pose.position": 3, "pose.orientation": 4},
    "geometry_msgs/msg/TwistStamped": {"twist.linear": 3, "twist.angular": 3},
    "geometry_msgs/msg/WrenchStamped": {"wrench.force": 3, "wrench.torque": 3},
    "std_msgs/msg/Float64MultiArray": {"data": None},
}

# The names that the `joints` of a velocity command may have.
TWIST_FIELDS = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")
