"""Read what a bag recorded of a robot: rosbag2, MCAP or SQLite. Needs no ROS."""

from pathlib import Path

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from sac_ros.doctor.recording import Recording, Sample, TopicRecord
from sac_ros.errors import InputError
from sac_ros.task.task_spec import TaskSpec


def read_bag(task: TaskSpec, path: Path, namespace: str) -> Recording:
    """Return the task's topics as recorded; raise InputError if the bag cannot be read."""
    topics = {reading.topic: TopicRecord() for reading in task.readings}
    topics.setdefault(task.action.topic, TopicRecord())
    full_names = {f"/{namespace.strip('/')}/{topic}".replace("//", "/"): topic for topic in topics}
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:
            wanted = [c for c in reader.connections if c.topic in full_names]
            for connection, time_ns, content in reader.messages(connections=wanted):
                message = reader.deserialize(content, connection.msgtype)
                topics[full_names[connection.topic]].samples.append(
                    Sample(1e-9 * time_ns, _stamp_s(message), message)
                )
            duration_s = 1e-9 * reader.duration
    except (AnyReaderError, ReaderError, OSError) as error:
        raise InputError(f"cannot read the bag {path}: {error}") from error
    return Recording(
        source=f"{path} of {duration_s:.1f} s",
        duration_s=duration_s,
        topics=topics,
        knows_graph=False,
    )


def _stamp_s(message: object) -> float | None:
    header = getattr(message, "header", None)
    if header is None or (header.stamp.sec == 0 and header.stamp.nanosec == 0):
        return None
    return float(header.stamp.sec) + 1e-9 * float(header.stamp.nanosec)
