"""Sensor messages of a robot without drivers: what is written is what the policy node reads."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time

from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.nodes.messages.sensor_message import sensor_message
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.task.message_fields import FIELD_SIZES
from sac_ros.task.task_spec import Channel, load_task

pytestmark = [pytest.mark.ros, pytest.mark.distro]
STAMP = Time(sec=3, nanosec=250_000_000)


@pytest.mark.parametrize("type_name", [name for name in FIELD_SIZES if "JointState" not in name])
def test_every_field_is_read_as_it_was_written(type_name: str) -> None:
    channels = tuple(
        Channel(name=field, topic="sensor", type=type_name, field=field, size=size or 5, unit="1")  # type: ignore[arg-type]
        for field, size in FIELD_SIZES[type_name].items()
    )
    task = replace(load_task("two_joint_arm"), observation=channels, reward=(), termination=())
    readings = SensorReadings(task)
    rng = np.random.default_rng(0)
    values = {channel.field: rng.standard_normal(channel.size) for channel in channels}

    message = sensor_message(type_name, values, STAMP)
    readings.store("sensor", message, stamp_s(message, 1.0), arrival_s=1.0)

    for field, written in values.items():
        np.testing.assert_array_equal(readings.snapshot()[field], written)
    if type_name != "std_msgs/msg/Float64MultiArray":  # the only one without a header
        assert stamp_s(message, 1.0) == 3.25


def test_imu_says_what_it_does_not_measure() -> None:
    message = sensor_message(
        "sensor_msgs/msg/Imu", {"angular_velocity": np.array([1.0, 2.0, 3.0])}, STAMP
    )

    assert message.orientation_covariance[0] == -1.0  # type: ignore[attr-defined]
    assert message.linear_acceleration_covariance[0] == -1.0  # type: ignore[attr-defined]
    assert message.angular_velocity_covariance[0] == 0.0  # type: ignore[attr-defined]
