"""Sensors that say the same, bit for bit, while the robot is commanded to move."""

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import Reading, TaskSpec


class FrozenSensorCheck:
    """Remembers since when each reading with a `max_frozen_s` has not changed."""

    def __init__(self, task: TaskSpec) -> None:
        self._by_topic: dict[str, list[Reading]] = {}
        for reading in task.readings:
            if reading.max_frozen_s is not None:
                self._by_topic.setdefault(reading.topic, []).append(reading)
        self.clear()

    def clear(self) -> None:
        """Forget everything; a robot that is not commanded may well stand still."""
        self._is_started = False
        self._last: dict[str, NDArray[np.float64]] = {}
        self._changed_s: dict[str, float] = {}

    def watched(self, topic: str) -> list[Reading]:
        """Return the readings of a topic that must not freeze."""
        return self._by_topic.get(topic, [])

    def note(self, reading: Reading, values: NDArray[np.float64], arrival_s: float) -> None:
        """Take notice of new values [size] of a watched reading."""
        if not np.array_equal(values, self._last.get(reading.name, np.empty(0))):
            self._last[reading.name] = values
            self._changed_s[reading.name] = arrival_s

    def start(self, now_s: float) -> None:
        """Expect changes from now on, if they are not expected already."""
        if not self._is_started:
            self._is_started = True
            self._changed_s = dict.fromkeys(self._changed_s, now_s)

    def is_stuck(self, reading: Reading, now_s: float) -> bool:
        """Say whether a reading should have changed by now."""
        return (
            self._is_started
            and reading.max_frozen_s is not None
            and self._frozen_s(reading, now_s) > reading.max_frozen_s
        )

    def problem(self, now_s: float) -> str | None:
        """Return which reading is stuck, or None."""
        if not self._is_started:
            return None
        for readings in self._by_topic.values():
            for reading in readings:
                if self.is_stuck(reading, now_s):
                    return (
                        f"{reading.name} has not changed for"
                        f" {self._frozen_s(reading, now_s):.3f} s, more than"
                        f" {reading.max_frozen_s} s"
                    )
        return None

    def _frozen_s(self, reading: Reading, now_s: float) -> float:
        return now_s - self._changed_s.get(reading.name, now_s)
