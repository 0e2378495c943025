"""Readings to the sensor messages that bring them: what a driver does, for robots without one."""

from array import array
from collections.abc import Mapping
from functools import reduce

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Imu

from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.task.message_fields import FIELD_SIZES

_NOT_MEASURED = -1.0
"""First entry of the covariance of what an IMU does not have (sensor_msgs/Imu, REP 145)."""


def sensor_message(
    type_name: str, values: Mapping[str, NDArray[np.float64]], stamp: Time
) -> object:
    """Return a message of that type with some fields set: path in the message -> values [size].

    Vectors and quaternions in the order x, y, z, w; a message with a header gets the stamp.
    """
    message = message_class(type_name)()
    if hasattr(message, "header"):
        message.header.stamp = stamp
    for path, numbers in values.items():
        *owners, name = path.split(".")
        owner = reduce(getattr, owners, message)
        vector = getattr(owner, name)
        if hasattr(vector, "x"):
            for axis, number in zip("xyzw", numbers.tolist(), strict=False):
                setattr(vector, axis, number)
        else:
            setattr(owner, name, array("d", numbers))
    if isinstance(message, Imu):
        for field in FIELD_SIZES[type_name].keys() - values.keys():
            getattr(message, f"{field}_covariance")[0] = _NOT_MEASURED
    return message
