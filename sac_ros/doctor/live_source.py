"""Listen to a running robot for a while."""

import time
from collections.abc import Mapping

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from sac_ros.doctor.recording import Endpoint, Recording, Sample, TopicRecord
from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.nodes.messages.publisher_conflict import PublisherIds
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode
from sac_ros.task.task_spec import TaskSpec

NAME = "sac_ros_doctor"
# Heard like the policy node hears, but deep: every message counts.
LISTENING_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
DISCOVERY_S = 5.0
"""How long to wait for every topic's publisher; joining a running system takes up to 2.7 s."""


def listen(
    task: TaskSpec, duration_s: float, namespace: str, remaps: Mapping[str, str]
) -> Recording:
    """Return what the task's topics bring in `duration_s`, and who is on them."""
    listener = EmbeddedNode(NAME, namespace)
    node, resources = listener.node, NodeResources(listener.node)
    records = {reading.topic: TopicRecord() for reading in task.readings}
    types: dict[str, str] = {reading.topic: reading.type for reading in task.readings}
    records.setdefault(task.action.topic, TopicRecord())
    types.setdefault(task.action.topic, task.action.type)
    try:
        for topic, type_name in types.items():
            _subscribe(resources, remaps.get(topic, topic), type_name, records[topic])
        _spin(listener, DISCOVERY_S, records, until_all_heard=[r.topic for r in task.readings])
        for record in records.values():
            record.samples.clear()
        began_s = time.monotonic()
        _spin(listener, duration_s, records, until_all_heard=[])
        heard_s = time.monotonic() - began_s
        for topic, record in records.items():
            name = remaps.get(topic, topic)
            record.publishers = _endpoints(node.get_publishers_info_by_topic(name))
            record.subscribers = _endpoints(node.get_subscriptions_info_by_topic(name))
    finally:
        listener.close()
    return Recording(
        source=f"live topics for {heard_s:.1f} s",
        duration_s=heard_s,
        topics=records,
        knows_graph=True,
    )


def _subscribe(resources: NodeResources, topic: str, type_name: str, record: TopicRecord) -> None:
    ids = PublisherIds()

    def note(message: object, info: Mapping[str, object]) -> None:
        now_s = time.monotonic()
        own_s = stamp_s(message, 0.0) or None
        record.samples.append(Sample(now_s, own_s, message, ids.publisher_of(info)))

    resources.subscription(message_class(type_name), topic, note, LISTENING_QOS)


def _spin(
    listener: EmbeddedNode,
    duration_s: float,
    records: dict[str, TopicRecord],
    until_all_heard: list[str],
) -> None:
    end_s = time.monotonic() + duration_s
    while (left_s := end_s - time.monotonic()) > 0.0:
        listener.spin_once(min(0.05, left_s))
        if until_all_heard and all(records[topic].samples for topic in until_all_heard):
            return


def _endpoints(infos: list[TopicEndpointInfo]) -> list[Endpoint]:
    return [
        Endpoint(
            node=f"{info.node_namespace.rstrip('/')}/{info.node_name}",
            type=info.topic_type,
            is_reliable=info.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            is_latched=info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            gid=bytes(info.endpoint_gid),
        )
        for info in infos
        if info.node_name != NAME
    ]
