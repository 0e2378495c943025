"""Whether everything is there, often enough, in order, and can be heard."""

import difflib
from collections.abc import Iterator

import numpy as np

from sac_ros.doctor.finding import Finding
from sac_ros.doctor.publisher_checks import check_publishers
from sac_ros.doctor.recording import Endpoint, Recording, TopicRecord
from sac_ros.task.task_spec import Reading, TaskSpec

RATE_TOLERANCE = 0.05
"""Share of the control rate by which a sensor may be slower."""
AGE_WARN = 0.8
"""Share of a reading's greatest age that a gap may take."""


def check_sensors(task: TaskSpec, recording: Recording) -> Iterator[Finding]:
    """Look at every topic that the task reads."""
    by_topic: dict[str, list[Reading]] = {}
    for reading in task.readings:
        by_topic.setdefault(reading.topic, []).append(reading)
    for topic, readings in by_topic.items():
        record = recording.topics[topic]
        yield from _check_presence(topic, readings[0].type, record, recording)
        yield from _check_listeners(topic, record)
        if record.samples:
            yield from _check_timing(task, topic, readings, record, recording.duration_s)
            yield from check_publishers(topic, readings, record)
            if readings[0].is_of_joints:
                yield from _check_joints(topic, readings, record)


def check_command(task: TaskSpec, recording: Recording) -> Iterator[Finding]:
    """See whether somebody will hear the commands, and that nobody else sends them."""
    topic, record = task.action.topic, recording.topics[task.action.topic]
    if not recording.knows_graph:
        yield from _check_type(topic, task.action.type, record)
        return
    fitting = [end for end in record.subscribers if end.type == task.action.type]
    if not record.subscribers:
        yield Finding(
            check="command subscriber",
            subject=topic,
            level="error",
            found="nobody listens",
            advice=f"start the controller, or remap {topic!r} to what it listens to",
        )
    elif not fitting:
        yield Finding(
            check="command subscriber",
            subject=topic,
            level="error",
            found=f"{record.subscribers[0].node} listens for {record.subscribers[0].type}",
            advice=f"it must listen for {task.action.type}; correct the task's action type, or the"
            " controller",
        )
    elif all(end.is_latched for end in fitting):
        yield Finding(
            check="command subscriber",
            subject=topic,
            level="error",
            found=f"{fitting[0].node} asks for transient-local durability and will hear nothing",
            advice="let it subscribe with volatile durability",
        )
    else:
        nodes = ", ".join(end.node for end in fitting)
        yield Finding(check="command subscriber", subject=topic, level="ok", found=nodes)
    rivals = [end.node for end in record.publishers if not end.node.endswith("policy_node")]
    if rivals:
        yield Finding(
            check="other commands",
            subject=topic,
            level="warning",
            found=f"{', '.join(rivals)} may command the robot too",
            advice="stop whatever else commands it before the policy is activated",
        )


def _check_presence(
    topic: str, type_name: str, record: TopicRecord, recording: Recording
) -> Iterator[Finding]:
    yield from _check_type(topic, type_name, record)
    others = [end for end in record.publishers if end.type != type_name]
    if record.samples:
        count, duration_s = len(record.samples), recording.duration_s
        found = f"{count} messages in {duration_s:.1f} s"
        yield Finding(check="present", subject=topic, level="ok", found=found)
    elif not others:
        silent = record.publishers and f"{record.publishers[0].node} publishes it, but is silent"
        yield Finding(
            check="present",
            subject=topic,
            level="error",
            found=silent or "nobody publishes it",
            advice="start the driver, or correct its name, namespace or remapping: the name must be"
            f" {topic!r} for the policy node",
        )


def _check_type(topic: str, type_name: str, record: TopicRecord) -> Iterator[Finding]:
    for end in [end for end in record.publishers if end.type != type_name][:1]:
        yield Finding(
            check="type",
            subject=topic,
            level="error",
            found=f"{end.node} publishes {end.type}",
            advice=f"the task has {type_name}; correct the task's type, or remap the topic",
        )


def _check_listeners(topic: str, record: TopicRecord) -> Iterator[Finding]:
    """Find those who will never hear what is published; the policy node hears every publisher."""
    for publisher in record.publishers:
        deaf = [end.node for end in record.subscribers if not _hears(end, publisher)]
        if deaf:
            what = "best effort" if not publisher.is_reliable else "volatile"
            yield Finding(
                check="QoS",
                subject=topic,
                level="warning",
                found=f"{publisher.node} publishes {what}, so {', '.join(deaf)} will hear nothing"
                " of it",
                advice="subscribe best effort and volatile, as sensor data QoS does, or publish"
                " reliably",
            )


def _hears(subscriber: Endpoint, publisher: Endpoint) -> bool:
    """Say whether DDS connects the two."""
    return (publisher.is_reliable or not subscriber.is_reliable) and (
        publisher.is_latched or not subscriber.is_latched
    )


def _check_timing(
    task: TaskSpec, topic: str, readings: list[Reading], record: TopicRecord, duration_s: float
) -> Iterator[Finding]:
    arrivals_s, wanted_hz = record.arrivals_s, 1.0 / task.control_period_s
    sources = {tuple(getattr(sample.message, "name", ())) for sample in record.samples}
    # Several publishers, each with joints of its own, each with the rate that counts.
    intervals_s = np.diff(arrivals_s) if len(sources) == 1 else np.diff(arrivals_s) * len(sources)
    rate_hz = len(record.samples) / len(sources) / duration_s
    jitter_s = float(np.std(intervals_s)) if len(intervals_s) else 0.0
    found = f"{rate_hz:.1f} Hz, jitter {1e3 * jitter_s:.2f} ms"
    if rate_hz < (1.0 - RATE_TOLERANCE) * wanted_hz:
        yield Finding(
            check="rate",
            subject=topic,
            level="error",
            found=found,
            advice=f"training saw a new observation every {task.control_period_s} s: publish at"
            f" {wanted_hz:.0f} Hz or more",
        )
    else:
        yield Finding(check="rate", subject=topic, level="ok", found=found)
    gap_s = float(np.diff(arrivals_s, prepend=arrivals_s[0]).max())
    max_age_s = min(reading.max_age_s for reading in readings)
    if gap_s > AGE_WARN * max_age_s:
        is_stale = gap_s > max_age_s
        yield Finding(
            check="age",
            subject=topic,
            level="error" if is_stale else "warning",
            found=f"{gap_s:.3f} s without a message, with a greatest age of {max_age_s} s",
            advice="the node would send its fault reaction; find out what holds the publisher up,"
            " or raise max_age_s in the task if the robot can bear it",
        )
    else:
        yield Finding(check="age", subject=topic, level="ok", found=f"gaps up to {gap_s:.3f} s")
    yield from _check_stamps(topic, record, max_age_s)


def _check_stamps(topic: str, record: TopicRecord, max_age_s: float) -> Iterator[Finding]:
    """See whether each publisher's stamps go forward, at the pace of our clock."""
    by_source: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for sample in record.samples:
        if sample.stamp_s is not None:
            source = tuple(getattr(sample.message, "name", ()))
            by_source.setdefault(source, []).append((sample.stamp_s, sample.arrival_s))
    for pairs in by_source.values():
        stamps_s, arrivals_s = np.array(pairs).T
        num_backward = int((np.diff(stamps_s) <= 0.0).sum())
        if num_backward:
            yield Finding(
                check="order",
                subject=topic,
                level="warning",
                found=f"{num_backward} of {len(pairs)} messages are not stamped later than the one"
                " before",
                advice="the node ignores them; look for two publishers of the same joints, or a"
                " stamp that is not set anew",
            )
            continue
        delays_s = arrivals_s - stamps_s
        late_s = float(delays_s.max() - delays_s.min())
        if late_s > max_age_s:
            yield Finding(
                check="delay",
                subject=topic,
                level="error",
                found=f"some messages are {late_s:.3f} s longer on their way than others",
                advice="look at the network; for a simulation slower than real time, set"
                " use_sim_time",
            )


def _check_joints(topic: str, readings: list[Reading], record: TopicRecord) -> Iterator[Finding]:
    heard = {name for sample in record.samples for name in getattr(sample.message, "name", ())}
    wanted = list(dict.fromkeys(joint for reading in readings for joint in reading.joints))
    for joint in wanted:
        if joint not in heard:
            close = difflib.get_close_matches(joint, sorted(heard), n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            yield Finding(
                check="joint",
                subject=joint,
                level="error",
                found=f"not in {topic!r}, which has {sorted(heard)}",
                advice=f"{hint}Correct the joint's name in the robot's description or in the task",
            )
    for reading in readings:
        columns = [len(getattr(sample.message, reading.field)) for sample in record.samples]
        if not any(columns):
            yield Finding(
                check="field",
                subject=reading.name,
                level="error",
                found=f"{topic!r} never carries {reading.field}",
                advice=f"let the driver fill {reading.field}; joint_state_broadcaster does if the"
                " hardware has that state interface",
            )
    strangers = sorted(heard - set(wanted))
    if strangers:
        found = f"ignored, as the task does not read them: {strangers}"
        yield Finding(check="extra joints", subject=topic, level="ok", found=found)
