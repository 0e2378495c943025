"""A minimal rclpy node between a sensor topic and a command topic, as the baseline of policy_node.

The same messages, the same QoS and the same way of spinning, but no policy.
"""

import sys
from array import array
from typing import Final

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sac_ros.nodes.messages.qos_profiles import COMMAND_QOS, SENSOR_QOS
from sac_ros.nodes.process.node_process import run_process


class BareEchoNode(Node):
    """Answers a JointState with its first positions, at once or on a timer."""

    def __init__(self) -> None:
        super().__init__("bare_echo")
        self.declare_parameter("executor", "events")
        self.declare_parameter("timer_period_s", 0.0)  # 0.0: answer each message at once
        self.declare_parameter("command_length", 1)
        self._length = int(self.get_parameter("command_length").value)
        self._newest = array("d", [0.0] * self._length)
        self._commands = self.create_publisher(Float64MultiArray, "joint_commands", COMMAND_QOS)
        period_s = float(self.get_parameter("timer_period_s").value)
        self.create_subscription(
            JointState, "joint_states", self._store if period_s else self._answer, SENSOR_QOS
        )
        if period_s:
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(period_s, self._publish, clock=clock)

    def _answer(self, message: JointState) -> None:
        self._store(message)
        self._publish()

    def _store(self, message: JointState) -> None:
        self._newest = message.position[: self._length]

    def _publish(self) -> None:
        self._commands.publish(Float64MultiArray(data=self._newest))


class BareEchoProcess:
    """The echo as `run_process` runs it, which is how the policy node is run too."""

    def __init__(self) -> None:
        self.node: Final = BareEchoNode()

    def start(self) -> None:
        """Do nothing: a bare node has no states."""

    def is_done(self) -> bool:
        """Never: it ends by a signal."""
        return False

    def finish(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    sys.exit(run_process(BareEchoProcess))
