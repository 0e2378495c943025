"""Read what a bag recorded of a robot, as `sac-ros bag-to-buffer` reads it. Needs no ROS."""

from collections.abc import Mapping
from pathlib import Path

from sac_ros.bags.bag_reader import open_bag
from sac_ros.bags.topic_name import full_topic_name
from sac_ros.doctor.recording import Endpoint, Recording, Sample, TopicRecord
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.task.task_spec import TaskSpec


def read_bag(task: TaskSpec, path: Path, namespace: str, remaps: Mapping[str, str]) -> Recording:
    """Return the task's topics as recorded; raise InputError if the bag cannot be read.

    A topic of another type has no samples; its type is known as its publisher's.
    """
    types: dict[str, str] = {reading.topic: reading.type for reading in task.readings}
    types.setdefault(task.action.topic, task.action.type)
    records = {topic: TopicRecord() for topic in types}
    names = {full_topic_name(topic, namespace, remaps): topic for topic in types}
    with open_bag(path) as bag:
        readable = set()
        for name, topic in names.items():
            found = bag.topics.get(name)
            if found == types[topic]:
                readable.add(name)
            elif found is not None:
                records[topic].publishers.append(
                    Endpoint(node="the recording", type=found, is_reliable=True, is_latched=False)
                )
        for message in bag.messages(readable):
            arrival_s = 1e-9 * message.received_ns
            own_s = stamp_s(message.content, 0.0)
            records[names[message.topic]].samples.append(
                Sample(arrival_s, own_s or None, message.content)
            )
        cut_off = ", cut off as its recorder was killed" if bag.is_cut_off else ""
        return Recording(
            source=f"{path} of {bag.duration_s:.1f} s{cut_off}",
            duration_s=max(bag.duration_s, 1e-9),
            topics=records,
            knows_graph=False,
        )
