"""The newest value of everything the task reads, with the time it arrived.

Sensor callbacks only store; the control tick asks whether all is there and fresh. Times are the
receiver's steady clock: a publisher whose clock is wrong cannot make old data look new. Stamps only
tell the order of messages, and which was held up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.nodes.messages.frozen_sensor import FrozenSensorCheck
from sac_ros.nodes.messages.publisher_conflict import PublisherConflicts
from sac_ros.nodes.messages.stamp_order import StampOrder
from sac_ros.task.observation import is_usable
from sac_ros.task.task_spec import Reading, TaskError, TaskSpec

NEVER_S = -np.inf


class MessageError(InputError):
    """A sensor message contradicts itself, or is not newer than what is known."""


class JointStateMessage(Protocol):
    """The fields of sensor_msgs/JointState that are read."""

    name: Sequence[str]
    position: Sequence[float]
    velocity: Sequence[float]
    effort: Sequence[float]


class _TopicStore(Protocol):
    """What one topic has brought so far."""

    def store(self, message: object, stamp_s: float, arrival_s: float) -> None: ...
    def values(self, reading: Reading) -> NDArray[np.float64]: ...
    def arrival_s(self, reading: Reading) -> float: ...
    def first_arrival_s(self, reading: Reading) -> float: ...
    def stamps_s(self, reading: Reading) -> NDArray[np.float64]: ...
    def oldest_arrival_s(self) -> float: ...
    def clear(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _JointPlan:
    """Where the entries of a JointState go, for one order of names."""

    columns: NDArray[np.intp]
    """Entries of the message that are read by anyone."""
    places: dict[str, NDArray[np.intp]]
    """Of those entries in the store, for each field."""
    order: StampOrder
    """Of its own, because each publisher has joints and a clock of its own."""


class JointStateStore:
    """Joints by name: from any number of publishers, in any order, other joints among them."""

    def __init__(self, readings: list[Reading], make_order: Callable[[], StampOrder]) -> None:
        self._make_order = make_order
        joints = list(dict.fromkeys(joint for reading in readings for joint in reading.joints))
        self._index_of = {joint: index for index, joint in enumerate(joints)}
        fields = list(dict.fromkeys(reading.field for reading in readings))
        # One row per field, and flat, because each numpy call costs more than what it does here.
        self._values = np.zeros(len(fields) * len(joints))
        self._arrivals_s = np.full(len(fields) * len(joints), NEVER_S)
        self._stamps_s = np.zeros(len(fields) * len(joints))
        self._rows = {field: row * len(joints) for row, field in enumerate(fields)}
        self._places = {
            reading.name: np.array(
                [self._rows[reading.field] + self._index_of[joint] for joint in reading.joints]
            )
            for reading in readings
        }
        self._all_places = np.unique(np.concatenate([*self._places.values()]))
        # Publishers keep their order, so each order of names is worked out once.
        self._plans: dict[tuple[str, ...], _JointPlan] = {}

    def store(self, message: object, stamp_s: float, arrival_s: float) -> None:
        """Take over the joints this message has; raise MessageError if it cannot be used."""
        state: JointStateMessage = message  # type: ignore[assignment]  # generated message class
        plan = self._plan(tuple(state.name))
        if plan.columns.size == 0:
            return
        _check_order(plan.order, stamp_s, arrival_s)
        for field, places in plan.places.items():
            received = getattr(state, field)
            if len(received) == 0:
                continue  # allowed by the message's definition: this publisher does not measure it
            if len(received) != len(state.name):
                raise MessageError(
                    f"JointState has {len(received)} entries in {field} for {len(state.name)} names"
                )
            self._values[places] = np.asarray(received)[plan.columns]
            self._arrivals_s[places] = arrival_s
            self._stamps_s[places] = _own_stamp_s(stamp_s, arrival_s)

    def values(self, reading: Reading) -> NDArray[np.float64]:
        """Return a copy of the newest values [size] of one reading."""
        values: NDArray[np.float64] = self._values[self._places[reading.name]]
        return values

    def arrival_s(self, reading: Reading) -> float:
        """Return when the reading's oldest joint arrived."""
        return float(self._arrivals_s[self._places[reading.name]].min())

    def first_arrival_s(self, reading: Reading) -> float:
        """Return when the first of the reading's joints arrived."""
        return float(self._arrivals_s[self._places[reading.name][0]])

    def stamps_s(self, reading: Reading) -> NDArray[np.float64]:
        """Return the stamp of the message that each joint of the reading is from [size]."""
        stamps_s: NDArray[np.float64] = self._stamps_s[self._places[reading.name]]
        return stamps_s

    def oldest_arrival_s(self) -> float:
        """Return when the oldest joint of any reading arrived."""
        return float(self._arrivals_s[self._all_places].min())

    def clear(self) -> None:
        """Forget all values."""
        self._arrivals_s.fill(NEVER_S)
        self._plans.clear()

    def missing_joints(self, reading: Reading) -> list[str]:
        """Return the reading's joints that no message has brought yet."""
        arrivals_s = self._arrivals_s[self._places[reading.name]]
        return [j for j, at_s in zip(reading.joints, arrivals_s, strict=True) if at_s == NEVER_S]

    def _plan(self, names: tuple[str, ...]) -> _JointPlan:
        plan = self._plans.get(names)
        if plan is None:
            pairs = [(self._index_of[n], i) for i, n in enumerate(names) if n in self._index_of]
            ours, theirs = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
            if len(self._plans) >= 64:  # a publisher that never repeats itself must not fill memory
                self._plans.clear()
            plan = self._plans[names] = _JointPlan(
                columns=theirs,
                places={field: row + ours for field, row in self._rows.items()},
                order=self._make_order(),
            )
        return plan


class MessageStore:
    """Topics with one vector per field: the newest message itself is kept."""

    def __init__(self, make_order: Callable[[], StampOrder]) -> None:
        self._make_order = make_order
        self._order = make_order()
        self._message: object = None
        self._arrival_s = NEVER_S
        self._stamp_s = 0.0

    def store(self, message: object, stamp_s: float, arrival_s: float) -> None:
        """Keep the message; raise MessageError if it cannot be used."""
        _check_order(self._order, stamp_s, arrival_s)
        self._message, self._arrival_s = message, arrival_s
        self._stamp_s = _own_stamp_s(stamp_s, arrival_s)

    def values(self, reading: Reading) -> NDArray[np.float64]:
        """Return the field's numbers, in the order x, y, z (, w) for vectors and quaternions."""
        value = self._message
        for name in reading.field.split("."):
            value = getattr(value, name)
        if hasattr(value, "x"):
            names = ("x", "y", "z", "w")[: reading.size]
            return np.array([getattr(value, name) for name in names], dtype=np.float64)
        return np.array(value, dtype=np.float64)

    def arrival_s(self, reading: Reading) -> float:
        """Return when the message arrived."""
        return self._arrival_s

    def first_arrival_s(self, reading: Reading) -> float:
        """Return when the message arrived."""
        return self._arrival_s

    def stamps_s(self, reading: Reading) -> NDArray[np.float64]:
        """Return the message's stamp [1]."""
        return np.array([self._stamp_s])

    def oldest_arrival_s(self) -> float:
        """Return when the message arrived: it brings all readings at once."""
        return self._arrival_s

    def clear(self) -> None:
        """Forget the message."""
        self._message, self._arrival_s = None, NEVER_S
        self._order = self._make_order()


class SensorReadings:
    """All readings of one task, topic by topic."""

    def __init__(self, task: TaskSpec, *, judges_delay: bool = True) -> None:
        """Without `judges_delay`, stamps may pass slower than real time, as a simulator's do."""
        self._readings = task.readings
        self.topic_types: dict[str, str] = {}
        by_topic: dict[str, list[Reading]] = {}
        for reading in task.readings:
            known = self.topic_types.setdefault(reading.topic, reading.type)
            if known != reading.type:
                raise TaskError(
                    f"topic {reading.topic!r} is read as {known} and as {reading.type};"
                    " correct one of them"
                )
            by_topic.setdefault(reading.topic, []).append(reading)
        self._stores: dict[str, _TopicStore] = {}
        for topic, readings in by_topic.items():
            max_age_s = min(reading.max_age_s for reading in readings)
            make_order = partial(
                StampOrder,
                max_delay_s=max_age_s if judges_delay else np.inf,
                patience_s=max_age_s,
            )
            self._stores[topic] = (
                JointStateStore(readings, make_order)
                if readings[0].is_of_joints
                else MessageStore(make_order)
            )
        self._shortest_max_age_s = [
            (self._stores[topic], min(reading.max_age_s for reading in readings))
            for topic, readings in by_topic.items()
        ]
        self._pace = task.pace
        self._pacer: object = None
        """What tells the publisher that paces from others; its last message came at:"""
        self._paced_s = NEVER_S
        self._fresh_until_s = NEVER_S
        self._motion = FrozenSensorCheck(task)
        self.publishers = PublisherConflicts(task.readings)
        """Told of every message by whoever receives it."""
        self.hindrance: Callable[[], str | None] = lambda: None
        """Why nothing may be commanded although all readings are there."""
        self.num_refused = dict.fromkeys(by_topic, 0)
        """Messages of each topic that could not be used."""

    def store(self, topic: str, message: object, stamp_s: float, arrival_s: float) -> bool:
        """Keep what one message brings; raise MessageError if it cannot be used.

        Returns whether it is one that paces the steps: other publishers have other clocks.
        """
        store = self._stores[topic]
        try:
            store.store(message, stamp_s, arrival_s)
        except MessageError:
            self.num_refused[topic] += 1
            raise
        for reading in self._motion.watched(topic):
            if store.arrival_s(reading) == arrival_s:
                self._motion.note(reading, store.values(reading), arrival_s)
        return (
            topic == self._pace.topic
            and store.first_arrival_s(self._pace) == arrival_s
            and self._is_of_pacer(message, arrival_s)
        )

    def _is_of_pacer(self, message: object, arrival_s: float) -> bool:
        """Say whether a message is the pacing publisher's; another one follows when it is silent.

        Publishers of joints are told apart by the joints they name, and in which order.
        """
        publisher = tuple(getattr(message, "name", ()))
        is_silent = arrival_s - self._paced_s > self._pace.max_age_s
        if publisher != self._pacer and not is_silent:
            return False
        self._pacer, self._paced_s = publisher, arrival_s
        return True

    def clear(self) -> None:
        """Forget everything: only what arrives from now on counts."""
        self._fresh_until_s = self._paced_s = NEVER_S
        self._motion.clear()
        for store in self._stores.values():
            store.clear()

    def expect_motion(self, now_s: float) -> None:
        """From now on the robot is commanded: sensors that never change are stuck."""
        self._motion.start(now_s)

    def ages_s(self, now_s: float) -> dict[str, float]:
        """Return the age of each reading; infinite where nothing has arrived."""
        return {r.name: now_s - self._stores[r.topic].arrival_s(r) for r in self._readings}

    def problem(self, now_s: float) -> str | None:
        """Return what is missing, too old or stuck at `now_s`, or None if all is well."""
        # Asked at every message and tick, and nearly always all is well. Arrivals only get newer,
        # so what was fresh until then still is.
        if now_s > self._fresh_until_s:
            self._fresh_until_s = min(
                store.oldest_arrival_s() + max_age_s
                for store, max_age_s in self._shortest_max_age_s
            )
        if now_s <= self._fresh_until_s:
            return self._motion.problem(now_s) or self.publishers.problem(now_s) or self.hindrance()
        for reading in self._readings:
            store = self._stores[reading.topic]
            arrival_s = store.arrival_s(reading)
            if now_s - arrival_s <= reading.max_age_s:
                continue
            what = f"{reading.name} ({reading.field} on {reading.topic!r})"
            if arrival_s != NEVER_S:
                age_s = now_s - arrival_s
                return f"{what} is {age_s:.3f} s old, more than {reading.max_age_s} s"
            if isinstance(store, JointStateStore) and reading.joints:
                return f"no {what} received for joints {store.missing_joints(reading)}"
            return f"no {what} received"
        return self._motion.problem(now_s) or self.publishers.problem(now_s) or self.hindrance()

    def trusted(self, now_s: float) -> dict[str, NDArray[np.float64]]:
        """Return the readings that may be used at `now_s`, by name.

        Each is fresh, moving, finite and within what a sensor can say, and no two publishers
        disagree about it.

        `problem` tells whether all of them are; this is for what needs only some.
        """
        readings: dict[str, NDArray[np.float64]] = {}
        contradicted = self.publishers.contradicted(now_s)
        for reading in self._readings:
            store = self._stores[reading.topic]
            is_fresh = now_s - store.arrival_s(reading) <= reading.max_age_s
            is_stuck = self._motion.is_stuck(reading, now_s)
            if is_fresh and not is_stuck and reading.name not in contradicted:
                values = store.values(reading)
                if values.shape == (reading.size,) and is_usable(reading, values):
                    readings[reading.name] = values
        return readings

    def snapshot(self) -> dict[str, NDArray[np.float64]]:
        """Return a copy of all values, by reading name; ask `problem` first."""
        return {r.name: self._stores[r.topic].values(r) for r in self._readings}

    def stamps_s(self) -> NDArray[np.float64]:
        """Return the stamps [S] of the messages that `snapshot` is from, in the task's order.

        One for each joint of a reading of joints, one for any other reading; 0 where the message
        carries none.
        """
        return np.concatenate([self._stores[r.topic].stamps_s(r) for r in self._readings])


def _own_stamp_s(stamp_s: float, arrival_s: float) -> float:
    """Return the stamp, or 0 where it is only the arrival's time for want of one."""
    return 0.0 if stamp_s == arrival_s else stamp_s


def _check_order(order: StampOrder, stamp_s: float, arrival_s: float) -> None:
    refusal = order.refusal(stamp_s, arrival_s)
    if refusal is not None:
        raise MessageError(refusal)
