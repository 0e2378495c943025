"""Select the recorded sensor messages that a control step acted on, and return their readings.

There are two ways. By stamps: the node's transitions have the stamps of its sensor messages, so the
readings are identical to those of the node, also if messages reached the recorder in another order.
By arrival: the newest message that the recorder had received before the command. This is
approximate and sometimes one message off.
"""

from collections import deque
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.bag_reader import RecordedMessage
from sac_ros.bags.recorded_run import Tick
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.nodes.messages.sensor_readings import MessageError, SensorReadings
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec

Sampling = Literal["stamps", "arrival"]
LOOKAHEAD_NS = 1_000_000_000
"""A message that a command was based on may reach the recorder this much after the command."""
RETENTION_NS = 10_000_000_000
"""Messages are kept this long, because slow sensors are used for several steps."""


class Sampler:
    """Feeds a bag's sensor messages, step by step, to the same SensorReadings as in the node."""

    def __init__(
        self,
        task: TaskSpec,
        topics: dict[str, str],
        messages: Iterator[RecordedMessage],
        sampling: Sampling,
    ) -> None:
        """`topics` maps the full name in the bag to the task's name of the topic."""
        self._task = task
        self._topics = topics
        self._messages = messages
        self._sampling = sampling
        # Without stamps, messages are checked for delay as in the node.
        self.readings = SensorReadings(task, judges_delay=False)
        self.robot_s: float | None = None
        """Newest stamp of the topic that triggers control steps; None if it has no stamps."""
        self.newest_ns = 0
        """Arrival time of the newest message read so far."""
        self.num_refused = 0
        """Messages that are inconsistent, or older than the previous one."""
        self._upcoming: deque[RecordedMessage] = deque()
        self._kept: dict[tuple[str, float], list[RecordedMessage]] = {}
        self._fed: set[tuple[str, float]] = set()
        self._is_over = False

    def arrived(self, received_ns: int) -> None:
        """Feed all messages that the recorder had received by then."""
        self._read_ahead(received_ns)
        while self._upcoming and self._upcoming[0].received_ns <= received_ns:
            self._feed(self._upcoming.popleft())

    def at(self, tick: Tick) -> Readings | None:
        """Return the readings of the messages with a tick's stamps; None if one is missing.

        Topics without stamps are sampled by arrival.
        """
        stamps_s = tick.stamps_s
        assert stamps_s is not None
        wanted = self._wanted(stamps_s)
        named = {topic for topic, _ in wanted}
        self._read_ahead(tick.received_ns + LOOKAHEAD_NS)
        self._sort_upcoming(tick.received_ns, named)
        self._feed_named(wanted - self._fed)
        if not self._is_at(stamps_s):
            # Out-of-order messages, or stamps that repeat after a restart: start from empty.
            self.readings.clear()
            self._feed_named(wanted)
        self._forget(tick.received_ns - RETENTION_NS)
        return self.readings.snapshot() if self._is_at(stamps_s) else None

    def _is_at(self, stamps_s: NDArray[np.float64]) -> bool:
        """Return whether all readings are present and have these stamps [S]."""
        ages_s = self.readings.ages_s(0.0).values()
        is_complete = not any(np.isinf(age_s) for age_s in ages_s)
        return is_complete and np.array_equal(self.readings.stamps_s(), stamps_s)

    def _wanted(self, stamps_s: NDArray[np.float64]) -> set[tuple[str, float]]:
        """Return topic and stamp of each message in the stamps [S]."""
        wanted, position = set(), 0
        for reading in self._task.readings:
            size = len(reading.joints) if reading.is_of_joints else 1
            for stamp in stamps_s[position : position + size].tolist():
                if stamp != 0.0:
                    wanted.add((reading.topic, stamp))
            position += size
        return wanted

    def _sort_upcoming(self, received_ns: int, named: set[str]) -> None:
        """Store messages of stamped topics, and feed the others in order of arrival."""
        later: deque[RecordedMessage] = deque()
        for message in self._upcoming:
            topic = self._topics[message.topic]
            if topic in named:
                stamp = stamp_s(message.content, 0.0)
                self._kept.setdefault((topic, stamp), []).append(message)
            elif message.received_ns <= received_ns:
                self._feed(message)
            else:
                later.append(message)
        self._upcoming = later

    def _feed_named(self, wanted: set[tuple[str, float]]) -> None:
        """Feed these messages in order of arrival."""
        messages = [message for key in wanted for message in self._newest(key)]
        messages.sort(key=lambda message: message.received_ns)
        self._fed |= wanted
        for message in messages:
            self._feed(message)

    def _newest(self, key: tuple[str, float]) -> list[RecordedMessage]:
        """Return a topic's messages with one stamp, without those from before a restart."""
        messages = self._kept.get(key, [])
        return [m for m in messages if messages[-1].received_ns - m.received_ns < LOOKAHEAD_NS]

    def _feed(self, message: RecordedMessage) -> None:
        arrival_s = 1e-9 * message.received_ns
        sent_s = stamp_s(message.content, arrival_s)
        try:
            topic = self._topics[message.topic]
            paces = self.readings.store(topic, message.content, sent_s, arrival_s)
        except MessageError:
            self.num_refused += 1
            return
        if paces and (own_s := stamp_s(message.content, 0.0)) != 0.0:
            self.robot_s = own_s

    def _read_ahead(self, until_ns: int) -> None:
        while not self._is_over and not (
            self._upcoming and self._upcoming[-1].received_ns > until_ns
        ):
            message = next(self._messages, None)
            if message is None:
                self._is_over = True
            else:
                self._upcoming.append(message)
                self.newest_ns = message.received_ns

    def _forget(self, before_ns: int) -> None:
        """Drop messages that are too old to be used again; the dict is in order of arrival."""
        while self._kept:
            key = next(iter(self._kept))
            if self._kept[key][-1].received_ns >= before_ns:
                return
            del self._kept[key]
            self._fed.discard(key)
