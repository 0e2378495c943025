"""Subscriptions that tell which publisher each sensor message is from."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Final

from rclpy.node import Node

from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.publisher_conflict import PublisherIds
from sac_ros.nodes.messages.qos_profiles import SENSOR_QOS
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.nodes.process.node_resources import NodeResources

UNDISCOVERED: Final = "_NODE_NAME_UNKNOWN_"
"""The middleware's name of a node whose publisher it has discovered before the node."""
OnSensor = Callable[[str, object], None]
"""Topic, by the task's name of it, and message."""


def subscribe_to_sensors(
    node: Node, resources: NodeResources, readings: SensorReadings, on_sensor: OnSensor
) -> None:
    """Subscribe to every topic that the task reads."""
    readings.publishers.name_publishers = partial(_name_publishers, node)
    for topic, type_name in readings.topic_types.items():
        callback = IdentifiedMessages(readings, topic, on_sensor)
        resources.subscription(message_class(type_name), topic, callback, SENSOR_QOS)


class IdentifiedMessages:
    """The callback of one sensor topic: notes the publisher of each message, then passes it on."""

    def __init__(self, readings: SensorReadings, topic: str, on_sensor: OnSensor) -> None:
        self._note = readings.publishers.note
        self._topic = topic
        self._on_sensor = on_sensor
        self._ids = PublisherIds()

    def __call__(self, message: object, info: Mapping[str, object]) -> None:
        """Take one message with what rclpy says of it."""
        self._note(self._topic, message, self._ids.publisher_of(info), time.monotonic())
        self._on_sensor(self._topic, message)


def _name_publishers(node: Node, topic: str, publishers: Sequence[Hashable]) -> str:
    """Return the nodes of two publishers, or of all of the topic where rclpy cannot tell which."""
    names = {
        bytes(info.endpoint_gid): f"{info.node_namespace.rstrip('/')}/{info.node_name}"
        for info in node.get_publishers_info_by_topic(topic)
        if info.node_name != UNDISCOVERED
    }
    known = [names[gid] for gid in publishers if isinstance(gid, bytes) and gid in names]
    if publishers[0] == publishers[1]:  # it names its joints in two orders
        return f"two sources in {known[0]}" if known else "two sources in one publisher"
    if len(known) < len(publishers):
        known = sorted(names.values())
    if len(known) > 1 and len(set(known)) == 1:
        return f"two publishers of {known[0]}"
    return f"two publishers, {' and '.join(known)}" if len(known) > 1 else "two publishers"
