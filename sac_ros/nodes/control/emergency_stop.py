"""The emergency stop: set by a topic, a service or a fault; cleared by one service only."""

from collections.abc import Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, SENSOR_QOS

# No subscription hears both a best-effort publisher and what was latched before it came. A
# publisher that only one of the two can hear warns of the other; it is heard all the same.
HEARING_QOS = (LATCHED_QOS, SENSOR_QOS)


class EmergencyStop:
    """Latched from the node's start to its end, whatever lifecycle state it is in.

    `true` on topic `estop`, whoever sends it and with whatever QoS, and service `~/estop` set it;
    service `~/reset_estop` clears it, `false` on the topic does not. `~/estopped` says how it is.
    """

    def __init__(
        self, node: Node, *, on_set: Callable[[str], None], on_reset: Callable[[], None]
    ) -> None:
        """Offer topics and services; the callbacks run when the state changes."""
        self.reason: str | None = None
        self._node = node
        self._on_set = on_set
        self._on_reset = on_reset
        self._state = node.create_publisher(Bool, "~/estopped", LATCHED_QOS)
        self._state.publish(Bool(data=False))
        for qos in HEARING_QOS:
            node.create_subscription(
                Bool,
                "estop",
                self._on_message,
                qos,
                # One of the two never matches, which is no news.
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
        self._node.get_logger().error(
            f"emergency stop: {reason}; when all is well: ros2 service call"
            f" {self._node.get_fully_qualified_name()}/reset_estop std_srvs/srv/Trigger"
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
        self._state.publish(Bool(data=False))
        self._on_reset()
        return response
