"""Record the topics of a policy node as an MCAP bag, in a separate process.

It cannot delay the control loop: it subscribes with best effort and its own queues, and runs at low
process priority.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosgraph_msgs.msg import Clock as ClockMessage
from std_msgs.msg import Bool, Float64MultiArray, String

from sac_ros.bags.bag_writer import BagWriteError, BagWriter, OfferedQos
from sac_ros.errors import InputError
from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.nodes.process.node_process import StandaloneNode, run_process
from sac_ros.nodes.process.parameter_table import (
    UNTIL_RESTART,
    Parameter,
    count,
    declare,
    niceness,
    number,
    path,
    text,
)
from sac_ros.nodes.process.process_priority import lower_priority
from sac_ros.policy.contract import PolicyContract, read_contract
from sac_ros.task.task_spec import TaskSpec

FLUSH_PERIOD_S = 1.0
"""What `kill -9` may cost."""
DEPTH = 1000
HEARING_QOS = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_QOS = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)
LOG_INTERVAL_S = 5.0


PARAMETERS = (
    Parameter("folder", "bags", "Folder in which each recording gets a folder, named by its time."),
    Parameter("policy_node", "policy_node", "Name of the node whose topics are recorded."),
    Parameter(
        "policy",
        "",
        "Policy file whose sensors and commands are recorded from the start. Empty: they follow the"
        " node's contract, and what comes before that is missing.",
    ),
    Parameter(
        "max_file_s",
        300.0,
        "Length of one file of the bag in seconds of messages; the next follows it.",
        (1.0, 1e6),
    ),
    # EventsExecutor does not hand out message info, which holds the times of each message.
    Parameter("executor", "single", "'single' or 'multi'."),
    niceness(5),
)


class BagRecorder(StandaloneNode):
    """Records the topics named in the policy node's contract."""

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        declare(self, PARAMETERS).freeze(UNTIL_RESTART)
        self._writer: BagWriter | None = None
        self._heard: dict[str, Subscription[object]] = {}
        self._last_contract = b""

    def start(self) -> None:
        """Open the bag and subscribe to the contract; raise InputError."""
        lower_priority(count(self, "niceness"))
        name = datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S_%f")[:-3]
        folder = (path(self, "folder") or Path()) / name
        policy = path(self, "policy")
        task = None if policy is None else read_contract(policy).task
        self._writer = BagWriter(
            folder,
            os.environ.get("ROS_DISTRO", "unknown"),
            max_file_s=number(self, "max_file_s"),
        )
        if task is not None:
            self._record_task(task)
        robot = text(self, "policy_node")
        self._listen(f"{robot}/contract", String, LATCHED_QOS)
        self._listen(f"{robot}/policy_status", String, LATCHED_QOS)
        self._listen(f"{robot}/estopped", Bool, LATCHED_QOS)
        for topic in ("transitions", "unrated", "reward"):
            self._listen(f"{robot}/{topic}", Float64MultiArray, RELIABLE_QOS)
        self._listen("estop", Bool, HEARING_QOS)
        self._listen("robot_description", String, LATCHED_QOS)
        self._listen("/diagnostics", DiagnosticArray, HEARING_QOS)
        self._listen("/clock", ClockMessage, HEARING_QOS)
        self.create_timer(
            FLUSH_PERIOD_S, self._flush, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self.get_logger().info(f"recording to {folder}; sensors and commands follow {robot}")

    def finish(self) -> None:
        """Finish the bag and log its content."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except BagWriteError as error:
            self.get_logger().error(str(error))
            return
        self.get_logger().info(
            f"recorded {writer.num_messages} messages on {len(writer.topics)} topics in"
            f" {writer.folder}"
        )

    def _listen(self, topic: str, message_type: type, qos: QoSProfile) -> None:
        """Record a topic, once."""
        name = self.resolve_topic_name(topic)
        if name in self._heard:
            return
        type_name = _type_name(message_type)
        self._heard[name] = self.create_subscription(
            message_type, topic, partial(self._on_message, name, type_name), qos, raw=True
        )

    def _on_message(
        self, topic: str, type_name: str, content: bytes, info: "dict[str, int]"
    ) -> None:
        """Write one message; raises BagWriteError, which ends this process and no other."""
        writer = self._writer
        if writer is None:
            return
        if topic not in writer.topics:
            publishers = self.get_publishers_info_by_topic(topic)
            writer.add_topic(topic, type_name, [_offered(publisher) for publisher in publishers])
        with self._giving_up():
            writer.write(
                topic,
                content,
                # 0 where the middleware does not tell.
                received_ns=info["received_timestamp"] or time.time_ns(),
                sent_ns=info["source_timestamp"] or time.time_ns(),
            )
        if topic.endswith("/contract") and content != self._last_contract:
            self._last_contract = content
            self._follow(deserialize_message(content, String))

    def _flush(self) -> None:
        if self._writer is not None:
            with self._giving_up():
                self._writer.flush()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Abandon a bag that can no longer be written; this ends the process."""
        try:
            yield
        except BagWriteError:
            if self._writer is not None:
                self._writer.abandon()
                self._writer = None
            raise

    def _follow(self, message: String) -> None:
        """Record the sensor and command topics of this contract's task."""
        try:
            task = PolicyContract.from_json(message.data).task
        except InputError as error:
            self.get_logger().warning(f"cannot tell sensors and commands: {error}")
            return
        self._record_task(task)

    def _record_task(self, task: TaskSpec) -> None:
        """Record the sensor and command topics of a task."""
        for reading in task.readings:
            self._listen(reading.topic, message_class(reading.type), HEARING_QOS)
        robot = text(self, "policy_node")
        for topic in (task.action.topic, f"{robot}/intervention"):
            self._listen(topic, message_class(task.action.type), HEARING_QOS)
        self.get_logger().info(
            f"task {task.name!r}: recording {sorted({r.topic for r in task.readings})} and"
            f" {task.action.topic!r}"
        )


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit status."""
    return run_process(BagRecorder)


def _type_name(message_type: type) -> str:
    package, kind = message_type.__module__.split(".")[:2]
    return f"{package}/{kind}/{message_type.__name__}"


def _offered(publisher: TopicEndpointInfo) -> OfferedQos:
    profile = publisher.qos_profile
    is_reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    is_latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return OfferedQos(
        reliability="reliable" if is_reliable else "best_effort",
        durability="transient_local" if is_latched else "volatile",
    )
