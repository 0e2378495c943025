"""Two publishers that contradict each other about the same reading.

A driver and a joint_state_publisher on one topic make the policy see a joint at 1.1 rad and at 0.0
in turns. Both are fresh and finite, so only a comparison finds it. Publishers that agree, that
bring different joints, or of which one replaces the other, are no conflict.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import Reading

ABSOLUTE_TOLERANCE: Final = 0.01
"""In the reading's unit; two sensors of one joint differ by their noise."""
RELATIVE_TOLERANCE: Final = 0.01
MEMORY_S: Final = 2.0
"""How long a publisher is remembered, and how long a disagreement counts after it was last seen."""
MAX_PUBLISHERS: Final = 16

NamePublishers = Callable[[str, Sequence[Hashable]], str]
"""Topic and two publishers -> who they are, for the operator."""


@dataclass
class _Voice:
    """The newest values [E] of one publisher of a topic; NaN for what it does not bring."""

    values: NDArray[np.float64]
    step: NDArray[np.float64]
    """How far they had moved since its message before [E]."""
    arrival_s: float
    since_s: float
    """When it was first heard."""


@dataclass(frozen=True)
class _Conflict:
    text: str
    readings: frozenset[str]
    until_s: float


class PublisherConflicts:
    """Compares the publishers of each topic; costs next to nothing while there is only one."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings: dict[str, list[Reading]] = {}
        for reading in readings:
            self._readings.setdefault(reading.topic, []).append(reading)
        self._only: dict[str, tuple[Hashable, object]] = {}
        self._voices: dict[str, dict[Hashable, _Voice]] = {topic: {} for topic in self._readings}
        self._conflicts: dict[str, _Conflict] = {}
        self.name_publishers: NamePublishers = lambda topic, publishers: "two publishers"

    def note(self, topic: str, message: object, publisher: Hashable, arrival_s: float) -> None:
        """Take notice of a message before it is stored.

        Joints that one publisher names in two orders count as of two: relays merge topics.
        """
        names = getattr(message, "name", None)
        voices, only = self._voices[topic], (publisher, names)
        if not voices and self._only.setdefault(topic, only) == only:
            return
        identity = (publisher, tuple(names or ()))
        values = np.concatenate([_values(message, reading) for reading in self._readings[topic]])
        for old in [key for key, v in voices.items() if arrival_s - v.arrival_s > MEMORY_S]:
            del voices[old]
        before = voices.get(identity)
        if before is not None:
            for other, voice in voices.items():
                if other != identity and voice.arrival_s > before.arrival_s:
                    self._compare(topic, (identity, before, values), (other, voice), arrival_s)
        if len(voices) >= MAX_PUBLISHERS:
            voices.clear()
        step = np.zeros(len(values)) if before is None else np.abs(values - before.values)
        since_s = arrival_s if before is None else before.since_s
        voices[identity] = _Voice(values, step, arrival_s, since_s)
        if len(voices) == 1 and arrival_s - since_s > MEMORY_S:
            voices.clear()
            self._only[topic] = only

    def problem(self, now_s: float) -> str | None:
        """Return which publishers disagree about what, or None."""
        if not self._conflicts:
            return None
        self._forget(now_s)
        return next((conflict.text for conflict in self._conflicts.values()), None)

    def contradicted(self, now_s: float) -> frozenset[str]:
        """Return the names of the readings about which publishers disagree."""
        self._forget(now_s)
        return frozenset().union(*(conflict.readings for conflict in self._conflicts.values()))

    def _forget(self, now_s: float) -> None:
        self._conflicts = {t: c for t, c in self._conflicts.items() if now_s <= c.until_s}

    def _compare(
        self,
        topic: str,
        speaker: tuple[Hashable, _Voice, NDArray[np.float64]],
        other: tuple[Hashable, _Voice],
        now_s: float,
    ) -> None:
        """See whether what another one said lies between two messages of this one.

        A joint moves meanwhile, so each may differ by as much as either of them moves in a step.
        """
        (identity, before, values), (other_identity, voice) = speaker, other
        low, high = np.minimum(before.values, values), np.maximum(before.values, values)
        margin = (high - low) + voice.step
        margin += ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(voice.values)
        # A NaN compares as False: what one of them does not bring is no disagreement.
        differs = (voice.values < low - margin) | (voice.values > high + margin)
        if not differs.any():
            return
        known = self._conflicts.get(topic)
        if known is None:
            first = int(np.flatnonzero(differs)[0])
            what = _name_entry(self._readings[topic], first)
            who = self.name_publishers(topic, (identity[0], other_identity[0]))  # type: ignore[index]
            text = (
                f"{what} on {topic!r} comes from {who}, which disagree: {values[first]:.4g} and"
                f" {voice.values[first]:.4g}; stop one of them"
            )
        else:
            text = known.text
        readings = known.readings if known is not None else frozenset()
        readings |= _readings_of(self._readings[topic], differs)
        self._conflicts[topic] = _Conflict(text, readings, now_s + MEMORY_S)


class PublisherIds:
    """Tells a topic's publishers apart by what rclpy says of each message."""

    def __init__(self) -> None:
        self._newest: list[int] = []

    def publisher_of(self, info: Mapping[str, object]) -> Hashable:
        """Return what identifies a message's publisher.

        rclpy before Kilted gives no identity, but each publisher's own sequence number: a message
        continues the sequence that is the nearest below it, and one that continues none is of a
        new publisher.
        """
        gid = info.get("publisher_gid")
        if isinstance(gid, dict):
            return bytes(gid["data"])
        number = info.get("publication_sequence_number")
        if not isinstance(number, int):
            return 0
        below = [(newest, index) for index, newest in enumerate(self._newest) if newest < number]
        if below:
            index = max(below)[1]
            self._newest[index] = number
            return index
        if len(self._newest) >= MAX_PUBLISHERS:
            self._newest.clear()
        self._newest.append(number)
        return len(self._newest) - 1


def _values(message: object, reading: Reading) -> NDArray[np.float64]:
    """Return a reading's values [size] in a message; NaN for what it does not bring."""
    if reading.is_of_joints:
        names, field = list(message.name), getattr(message, reading.field)  # type: ignore[attr-defined]
        entries = dict(zip(names, field, strict=False)) if len(field) == len(names) else {}
        return np.array([entries.get(joint, math.nan) for joint in reading.joints])
    value = message
    for name in reading.field.split("."):
        value = getattr(value, name)
    axes = ("x", "y", "z", "w")[: reading.size]
    numbers = [getattr(value, axis) for axis in axes] if hasattr(value, "x") else value
    values = np.array(numbers, dtype=np.float64)
    return values if values.shape == (reading.size,) else np.full(reading.size, math.nan)


def _name_entry(readings: Sequence[Reading], entry: int) -> str:
    for reading in readings:
        if entry < reading.size:
            of = f"joint {reading.joints[entry]!r}" if reading.joints else f"entry {entry}"
            return f"{reading.name} ({reading.field} of {of})"
        entry -= reading.size
    raise AssertionError("an entry beyond the topic's readings")


def _readings_of(readings: Sequence[Reading], differs: NDArray[np.bool_]) -> frozenset[str]:
    ends = np.cumsum([reading.size for reading in readings])
    parts = np.split(differs, ends[:-1])
    return frozenset(r.name for r, part in zip(readings, parts, strict=True) if part.any())
