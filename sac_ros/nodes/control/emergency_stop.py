"""The emergency stop: set by a topic, a service or a fault; cleared by one service only."""

from collections.abc import Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from sac_ros.nodes.control.emergency_stop_record import EmergencyStopRecord
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS

ESTOP_TOPIC = "estop"
BUTTON_DEPTH = 1000
"""Messages that wait while the node is busy. A press is an event: what comes after it, on the same
topic or in a flood, must not take its place."""
# No subscription hears a best-effort publisher, a reliable one without losses, and what was latched
# before it came. A publisher warns of those that cannot hear it; the others do.
HEARING_QOS = (
    QoSProfile(
        depth=BUTTON_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    ),
    QoSProfile(depth=BUTTON_DEPTH, reliability=ReliabilityPolicy.RELIABLE),
    QoSProfile(depth=BUTTON_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
)


class EmergencyStop:
    """Latched until it is reset: in every lifecycle state, and over the end of the process.

    `true` on topic `estop`, whoever sends it and with whatever QoS, and service `~/estop` set it;
    service `~/reset_estop` clears it, `false` on the topic does not. `~/estopped` says how it is.
    """

    def __init__(
        self, node: Node, *, on_set: Callable[[str], None], on_reset: Callable[[], None]
    ) -> None:
        """Offer topics and services; the callbacks run when the state changes."""
        self._node = node
        self._on_set = on_set
        self._on_reset = on_reset
        name = node.get_fully_qualified_name()
        self._how_to_reset = (
            f"when the robot is safe: ros2 service call {name}/reset_estop std_srvs/srv/Trigger"
        )
        self._record = EmergencyStopRecord(name, lambda text: _log_error(node, text))
        self.reason: str | None = self._record.read()
        self._state = node.create_publisher(Bool, "~/estopped", LATCHED_QOS)
        self._state.publish(Bool(data=self.reason is not None))
        if self.reason is not None:
            node.get_logger().error(
                f"emergency stop, still set from before ({self._record.path}): {self.reason};"
                f" {self._how_to_reset}"
            )
        for qos in HEARING_QOS:
            node.create_subscription(
                Bool,
                ESTOP_TOPIC,
                self._on_message,
                qos,
                # Some of them never match, which is no news.
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            )
        node.create_service(Trigger, "~/estop", self._on_call)
        node.create_service(Trigger, "~/reset_estop", self._on_reset_call)

    def set(self, reason: str) -> None:
        """Latch; the first reason is kept."""
        if self.reason is not None:
            return
        self.reason = reason
        # The robot first, then those who want to know.
        self._on_set(reason)
        self._state.publish(Bool(data=True))
        self._record.keep(reason)
        self._node.get_logger().error(
            f"emergency stop: {reason}; kept in {self._record.path}; {self._how_to_reset}"
        )

    def _on_message(self, message: Bool) -> None:
        if message.data:
            self.set("message on topic 'estop'")

    def _on_call(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.set("service call")
        response.success, response.message = True, f"stopped: {self.reason}"
        return response

    def _on_reset_call(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.success = True
        if self.reason is None:
            response.message = "was not stopped"
            return response
        response.message = f"cleared: {self.reason}"
        self._node.get_logger().warning(f"emergency stop cleared; it was: {self.reason}")
        self.reason = None
        self._record.forget()
        self._state.publish(Bool(data=False))
        self._on_reset()
        return response


def _log_error(node: Node, text: str) -> None:
    node.get_logger().error(text)
