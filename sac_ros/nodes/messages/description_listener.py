"""The robot's own joint limits, from its description on a topic, before the first command."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Literal

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from std_msgs.msg import String

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.robot_description import DescribedLimits, RobotDescriptionError, limits_of_urdf

Wait = Literal["if_published", "always", "never"]
TOPIC: Final = "robot_description"
DISCOVERY_S: Final = 0.5
"""How long a publisher of the description may take to be discovered once the sensors are there."""
GRAPH_PERIOD_S: Final = 0.05
POLL_PERIOD_S: Final = 0.02
PAUSE_S: Final = 1e-4
"""Between two chunks of a description, for the control thread to run."""

ApplyLimits = Callable[[tuple[JointLimit, ...]], Sequence[str]]
"""Narrow the limits to these; return in words which of them contradict the task."""


class DescriptionListener:
    """Reads robot_description in a thread of its own, and holds the first command until then."""

    def __init__(
        self,
        node: Node,
        resources: NodeResources,
        joints: tuple[str, ...],
        wait: Wait,
        apply_limits: ApplyLimits,
    ) -> None:
        """`apply_limits` is called between two control steps."""
        self._node = node
        self._joints = joints
        self._wait: Wait = wait
        self._apply_limits = apply_limits
        self._log = node.get_logger()
        self._text: str | None = None
        self._parsing: Future[DescribedLimits] | None = None
        self._is_open = wait == "never"
        self._contradiction: str | None = None
        self._unusable = f"no {TOPIC} received"
        self._asked_since_s = self._looked_s = float("-inf")
        self._publisher: str | None = None
        self._is_closing = False
        self._poll = resources.steady_timer(POLL_PERIOD_S, self._look)
        self._poll.cancel()  # runs only while a description is being read
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=TOPIC)
        resources.on_close(self._executor.shutdown)
        resources.on_close(self._close)
        self._topic = resources.subscription(String, TOPIC, self._on_message, LATCHED_QOS).topic

    def hindrance(self) -> str | None:
        """Return why nothing may be commanded yet, or None; asked when all readings are there."""
        self._look()
        if self._is_open:
            return self._contradiction
        if self._parsing is not None:
            return f"{TOPIC} is being read"
        if self._wait == "always":
            return f"{self._unusable}, and parameter wait_for_description is 'always'"
        now_s = time.monotonic()
        if self._asked_since_s == float("-inf"):
            self._asked_since_s = now_s
        if now_s - self._looked_s > GRAPH_PERIOD_S:
            self._looked_s, self._publisher = now_s, self._find_publisher()
        if self._publisher is not None:
            return (
                f"{self._publisher} publishes {TOPIC}, but nothing has arrived; set parameter"
                " wait_for_description to 'never' to go on without"
            )
        if now_s - self._asked_since_s < DISCOVERY_S:
            return f"looking for a publisher of {TOPIC}"
        self._is_open = True
        return None

    def _find_publisher(self) -> str | None:
        """Return a node that latches a description; no other can be heard."""
        for info in self._node.get_publishers_info_by_topic(self._topic):
            if info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
        return None

    def _on_message(self, message: String) -> None:
        if message.data != self._text:
            self._text = message.data
            # The newest one counts; of one worker, it also finishes last.
            self._parsing = self._executor.submit(self._parse, message.data)
            self._poll.reset()

    def _look(self) -> None:
        """Take up a description that has been read, in the node's own thread."""
        if self._parsing is not None and self._parsing.done():
            parsing, self._parsing = self._parsing, None
            self._poll.cancel()
            self._take_up(parsing)

    def _parse(self, urdf: str) -> DescribedLimits:
        return limits_of_urdf(urdf, self._joints, self._pause)

    def _pause(self) -> None:
        if self._is_closing:
            raise RobotDescriptionError("the node is shutting down")
        time.sleep(PAUSE_S)

    def _take_up(self, parsing: "Future[DescribedLimits]") -> None:
        try:
            described = parsing.result()
        except RobotDescriptionError as error:
            self._unusable = str(error)
            self._is_open = self._wait != "always"
            self._log.error(f"keeping the task's own joint limits: {error}")
            return
        contradictions = self._apply_limits(described.limits)
        self._contradiction = (
            f"task and {TOPIC} contradict each other: {'; '.join(contradictions)}"
            if contradictions
            else None
        )
        self._is_open = True
        for problem in described.problems:
            self._log.warning(f"ignored in {TOPIC}, all else in it holds: {problem}")
        named = [limit.joint for limit in described.limits]
        self._log.info(f"joint limits of {TOPIC} for {named}")

    def _close(self) -> None:
        self._is_closing = True
