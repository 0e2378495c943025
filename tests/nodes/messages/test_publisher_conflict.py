"""Contradicting publishers are found; replaced, agreeing and complementary ones are not."""

import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.nodes.messages.publisher_conflict import MEMORY_S, PublisherIds
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.task.task_spec import load_task

ARM = load_task("two_joint_arm")
TOPIC, NAMES = "joint_states", ["shoulder", "elbow"]
PERIOD_S = 0.01


def joint_state(
    position: list[float], names: list[str] = NAMES, velocity: list[float] | None = None
) -> SimpleNamespace:
    velocity = [0.0] * len(names) if velocity is None else velocity
    return SimpleNamespace(name=names, position=position, velocity=velocity, effort=[])


class Ear:
    """Hears publishers at a steady pace."""

    def __init__(self) -> None:
        self.readings = SensorReadings(ARM)
        self.conflicts = self.readings.publishers
        self.conflicts.name_publishers = lambda topic, publishers: (
            f"{publishers[0]}, {publishers[1]}"
        )
        self.now_s = 10.0

    def hear(self, publisher: object, message: SimpleNamespace) -> str | None:
        self.now_s += PERIOD_S
        self.conflicts.note(TOPIC, message, publisher, self.now_s)
        self.readings.store(TOPIC, message, self.now_s, self.now_s)
        return self.conflicts.problem(self.now_s)


def motion(speed: float) -> Iterator[list[float]]:
    """Yield positions of a joint that swings, ten times a second."""
    for step in range(200):
        yield [speed * math.sin(0.05 * step), -0.7]


@pytest.mark.parametrize(
    ("second", "names"),
    [
        ([0.0, 0.0], NAMES),
        ([0.0, 0.0], NAMES[::-1]),
        ([0.0], ["shoulder"]),
        ([9.0, 1.1, -0.3], ["gripper", "shoulder", "elbow"]),
        ([1.2, -0.7], NAMES),
    ],
)
def test_two_publishers_that_disagree_are_named_with_joint_and_topic(
    second: list[float], names: list[str]
) -> None:
    ear = Ear()
    found = None
    for _ in range(4):
        found = ear.hear("driver", joint_state([1.1, -0.7])) or found
        found = ear.hear("ghost", joint_state(second, names)) or found
    assert found is not None
    for part in ("driver", "ghost", repr(TOPIC), "shoulder" if second[0] != 9.0 else "elbow"):
        assert part in found
    assert ear.readings.problem(ear.now_s) == found
    assert set(ear.readings.trusted(ear.now_s)) == {"joint_velocities"}


def test_one_publisher_that_names_joints_in_two_orders_counts_as_two() -> None:
    ear = Ear()
    for _ in range(4):
        ear.hear("relay", joint_state([1.1, -0.7]))
        found = ear.hear("relay", joint_state([0.0, 0.0], NAMES[::-1]))
    assert found is not None and "1.1" in found


@pytest.mark.parametrize("speed", [0.0, 0.3, 5.0])
def test_publishers_that_agree_are_no_conflict(speed: float) -> None:
    ear, rng = Ear(), np.random.default_rng(0)
    for position in motion(speed):
        noise = rng.normal(0.0, 1e-3, 2)
        assert ear.hear("left", joint_state(position)) is None
        assert ear.hear("right", joint_state(list(position + noise), NAMES)) is None


def test_publishers_of_different_joints_are_no_conflict() -> None:
    ear = Ear()
    for position in motion(1.0):
        assert ear.hear("a", joint_state(position[:1], ["shoulder"])) is None
        assert ear.hear("b", joint_state(position[1:], ["elbow"])) is None


def test_publisher_that_replaces_another_is_no_conflict() -> None:
    ear = Ear()
    for publisher, at in (("old", 1.1), ("new", 0.2), ("newest", -0.4)):
        for _ in range(20):
            assert ear.hear(publisher, joint_state([at, 0.0])) is None


def test_conflict_is_over_when_one_of_them_is_gone() -> None:
    ear = Ear()
    for _ in range(4):
        ear.hear("driver", joint_state([1.1, -0.7]))
        ear.hear("ghost", joint_state([0.0, 0.0]))
    assert ear.conflicts.problem(ear.now_s) is not None
    for _ in range(round(MEMORY_S / PERIOD_S) + 2):
        found = ear.hear("driver", joint_state([1.1, -0.7]))
    assert found is None
    assert set(ear.readings.trusted(ear.now_s)) == {"joint_angles", "joint_velocities"}


def test_slow_publisher_contradicts_a_fast_one() -> None:
    ear = Ear()
    found = []
    for step in range(300):
        found.append(ear.hear("driver", joint_state([1.1, -0.7])))
        if step % 50 == 0:
            ear.hear("ghost", joint_state([0.0, 0.0]))
    assert all(found[-50:])


def test_not_a_number_is_no_disagreement() -> None:
    ear = Ear()
    for _ in range(4):
        assert ear.hear("a", joint_state([1.1, -0.7])) is None
        assert ear.hear("b", joint_state([math.nan, -0.7])) is None


@settings(max_examples=100, deadline=None)
@given(offset=st.floats(0.05, 3.0), sign=st.sampled_from([-1.0, 1.0]), ratio=st.integers(1, 7))
def test_constant_offset_is_found_at_any_ratio_of_rates(
    offset: float, sign: float, ratio: int
) -> None:
    ear = Ear()
    found = None
    for step, position in enumerate(motion(0.2)):
        found = ear.hear("a", joint_state(position)) or found
        if step % ratio == 0:
            found = ear.hear("b", joint_state([position[0] + sign * offset, -0.7])) or found
    assert found is not None


def test_publishers_without_identity_are_told_apart_by_their_sequences() -> None:
    ids = PublisherIds()

    def publishers(numbers: list[int]) -> list[object]:
        return [ids.publisher_of({"publication_sequence_number": number}) for number in numbers]

    assert len(set(publishers([1, 2, 3, 7, 9]))) == 1
    ids = PublisherIds()
    assert len(set(publishers([100, 7, 101, 8, 103, 9]))) == 2
    ids = PublisherIds()
    assert len(set(publishers([1, 1, 2, 2, 3, 3]))) == 2
    gid = {"publisher_gid": {"data": b"abc"}, "publication_sequence_number": 3}
    assert ids.publisher_of(gid) == b"abc"
