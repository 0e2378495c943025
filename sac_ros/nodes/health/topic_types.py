"""Find publishers of subscribed topics with another type, whose messages never arrive."""

from collections.abc import Callable, Mapping
from typing import Final

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

CHECK_PERIOD_S: Final = 1.0
"""A wrong type is named within twice this time."""


class TopicTypes:
    """Checks the ROS graph, one topic after the other, for publishers with a wrong type."""

    def __init__(self, node: Node, warn: Callable[[str], None]) -> None:
        self._node = node
        self._warn = warn
        self._expected: dict[str, str] = {}
        self._findings: dict[str, str] = {}
        # Steady: also while a simulation's clock stands still.
        node.create_timer(
            CHECK_PERIOD_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def wrong(self) -> list[str]:
        """The result of the last check."""
        return list(self._findings.values())

    def expect(self, types: Mapping[str, str]) -> None:
        """Check these topics too: name as subscribed -> type such as `std_msgs/msg/Bool`."""
        self._expected.update(types)

    def forget(self, topics: Mapping[str, str]) -> None:
        """Stop checking these topics."""
        for topic in topics:
            self._expected.pop(topic, None)
            self._findings.pop(topic, None)

    def _check(self) -> None:
        for topic, expected in self._expected.items():
            wrong = {
                f"{info.topic_type} by {info.node_namespace.rstrip('/')}/{info.node_name}"
                for info in self._node.get_publishers_info_by_topic(topic)
                if info.topic_type != expected
            }
            self._findings.pop(topic, None)
            if wrong:
                found = f"{topic!r} is published as {', '.join(sorted(wrong))}, not as {expected}"
                self._findings[topic] = f"{found}: it is not heard"
                self._warn(self._findings[topic])
