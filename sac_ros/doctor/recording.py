"""What was heard of a robot for a while, from live topics or from a bag."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import Reading


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A publisher or a subscriber of a topic."""

    node: str
    type: str
    is_reliable: bool
    is_latched: bool
    gid: bytes = b""
    """Its identity in the middleware; empty where that is unknown."""


@dataclass(frozen=True)
class Sample:
    """One message, with the time it arrived and the time it says of itself; both in s."""

    arrival_s: float
    stamp_s: float | None
    message: object
    publisher: Hashable = 0
    """What tells its publisher from others of the topic; the same for all where nothing does."""


@dataclass
class TopicRecord:
    """Everything known of one topic."""

    samples: list[Sample] = field(default_factory=list)
    publishers: list[Endpoint] = field(default_factory=list)
    subscribers: list[Endpoint] = field(default_factory=list)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """When each message was measured [N]: by its stamp, or else by its arrival."""
        return np.array([s.arrival_s if s.stamp_s is None else s.stamp_s for s in self.samples])

    @property
    def arrivals_s(self) -> NDArray[np.float64]:
        """When each message arrived [N]."""
        return np.array([sample.arrival_s for sample in self.samples])


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Topics by the name the task has for them."""

    source: str
    duration_s: float
    topics: Mapping[str, TopicRecord]
    knows_graph: bool
    """A bag does not tell who listened."""


def joint_series(
    record: TopicRecord, field_name: str, joints: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return the joints' values [N, J] of one field; NaN where a message does not have them."""
    rows = np.full((len(record.samples), len(joints)), np.nan)
    for row, sample in zip(rows, record.samples, strict=True):
        names, values = (
            list(getattr(sample.message, "name", ())),
            getattr(sample.message, field_name),
        )
        if len(values) != len(names):
            continue
        for column, joint in enumerate(joints):
            if joint in names:
                row[column] = values[names.index(joint)]
    return rows


def by_source(record: TopicRecord) -> dict[tuple[str, ...], TopicRecord]:
    """Return the messages of each publisher of joints, told apart by the joints it names."""
    sources: dict[tuple[str, ...], TopicRecord] = {}
    for sample in record.samples:
        names = tuple(getattr(sample.message, "name", ()))
        sources.setdefault(names, TopicRecord()).samples.append(sample)
    return sources


def series(record: TopicRecord, reading: Reading) -> NDArray[np.float64]:
    """Return the values [N, size] of one reading, message by message; NaN where there are none."""
    if reading.is_of_joints:
        return joint_series(record, reading.field, reading.joints)
    rows = np.full((len(record.samples), reading.size), np.nan)
    for row, sample in zip(rows, record.samples, strict=True):
        value = sample.message
        for name in reading.field.split("."):
            value = getattr(value, name)
        if hasattr(value, "x"):
            row[:] = [getattr(value, name) for name in ("x", "y", "z", "w")[: reading.size]]
        else:
            numbers = np.asarray(value, dtype=np.float64)
            if numbers.shape == row.shape:
                row[:] = numbers
    return rows
