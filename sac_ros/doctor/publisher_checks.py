"""Whether several publishers contradict each other about the same readings."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from sac_ros.doctor.finding import Finding
from sac_ros.doctor.recording import TopicRecord, series
from sac_ros.nodes.messages.publisher_conflict import PublisherConflicts
from sac_ros.task.task_spec import Reading

ADVICE = "the policy would see both in turns; stop one of them, or remap its topic"
LEAST_JUMPS = 20
LEAST_JUMP = 0.05
"""In the reading's unit; smaller ones are noise."""
CLOSE = 0.2
"""A value this much nearer to the last but one than to the last one belongs to another track."""
MOSTLY = 0.8


def check_publishers(topic: str, readings: list[Reading], record: TopicRecord) -> Iterator[Finding]:
    """Look for publishers that disagree, by their identity or else by the values."""
    conflicts = PublisherConflicts(readings)

    def name(_: str, publishers: Sequence[Hashable]) -> str:
        known = [end.node for end in record.publishers if end.gid and end.gid in publishers]
        known = known if len(known) > 1 else [end.node for end in record.publishers]
        return f"two publishers, {' and '.join(known)}" if len(known) > 1 else "two sources"

    conflicts.name_publishers = name
    for sample in record.samples:
        conflicts.note(topic, sample.message, sample.publisher, sample.arrival_s)
        found = conflicts.problem(sample.arrival_s)
        if found is not None:
            found = found.removesuffix("; stop one of them")
            yield Finding(
                check="publishers", subject=topic, level="error", found=found, advice=ADVICE
            )
            return
    for reading in readings:
        yield from _check_tracks(topic, reading, record)


def _check_tracks(topic: str, reading: Reading, record: TopicRecord) -> Iterator[Finding]:
    """Find positions that jump to and fro: bags do not tell one publisher from another."""
    if reading.field != "position":
        return
    values = series(record, reading)
    for entry, joint in enumerate(reading.joints):
        heard = values[~np.isnan(values[:, entry]), entry]
        if len(heard) < LEAST_JUMPS + 2:
            continue
        to_last, to_other = np.abs(heard[2:] - heard[1:-1]), np.abs(heard[2:] - heard[:-2])
        jumps = to_last > LEAST_JUMP
        alternates = jumps & (to_other < CLOSE * to_last)
        if jumps.sum() >= LEAST_JUMPS and alternates.sum() > MOSTLY * len(to_last):
            yield Finding(
                check="publishers",
                subject=topic,
                level="error",
                found=f"the position of {joint!r} jumps to and fro between two courses, such as"
                f" {heard[-2]:.4g} and {heard[-1]:.4g}, which looks like two publishers",
                advice=ADVICE,
            )
            return
