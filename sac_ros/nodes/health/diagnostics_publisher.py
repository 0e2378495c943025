"""Statuses as diagnostic_msgs on /diagnostics, as diagnostic_updater publishes them.

diagnostic_updater itself is neither on PyPI nor in every ROS 2 installation.
"""

from collections.abc import Callable, Sequence
from typing import Final

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from sac_ros.nodes.health.statuses import Status
from sac_ros.nodes.process.node_resources import NodeResources

# Absolute, as all of ROS expects it; diagnostic_aggregator and rqt listen nowhere else.
TOPIC: Final = "/diagnostics"


class DiagnosticsPublisher:
    """Asks for statuses once a period and publishes them under the node's name."""

    def __init__(
        self,
        node: Node,
        resources: NodeResources,
        *,
        hardware_id: str,
        period_s: float,
        diagnose: Callable[[], Sequence[Status]],
    ) -> None:
        self._node = node
        self._hardware_id = hardware_id
        self._diagnose = diagnose
        self._publisher = resources.publisher(DiagnosticArray, TOPIC, 1)
        # Steady: the report must come even if a simulation's clock stands still.
        resources.steady_timer(period_s, self._publish)

    def _publish(self) -> None:
        name = self._node.get_fully_qualified_name().lstrip("/")
        message = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    level=bytes([status.level]),
                    name=f"{name}: {status.name}",
                    message=status.message,
                    hardware_id=self._hardware_id,
                    values=[KeyValue(key=k, value=str(v)) for k, v in status.values.items()],
                )
                for status in self._diagnose()
            ]
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
