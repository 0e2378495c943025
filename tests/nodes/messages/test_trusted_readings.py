"""Which readings may be used while others may not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.task.observation import ObservationBuilder, ObservationError
from sac_ros.task.task_spec import load_task

ARM = load_task("two_joint_arm")
POSITION, VELOCITY = "joint_angles", "joint_velocities"


def joint_state(position: float, velocity: tuple[float, ...]) -> SimpleNamespace:
    return SimpleNamespace(
        name=["shoulder", "elbow"], position=[position] * 2, velocity=velocity, effort=[]
    )


def stored(*messages: SimpleNamespace, period_s: float = 0.02) -> tuple[SensorReadings, float]:
    channel = replace(ARM.observation[0], max_frozen_s=0.05)
    readings = SensorReadings(replace(ARM, observation=(channel, *ARM.observation[1:])))
    for number, message in enumerate(messages):
        now_s = 1.0 + number * period_s
        readings.store("joint_states", message, now_s, now_s)
    return readings, now_s


def test_reading_that_is_there_is_trusted_while_another_never_came() -> None:
    readings, now_s = stored(joint_state(1.2, ()))
    assert readings.problem(now_s) is not None
    trusted = readings.trusted(now_s)
    assert trusted.keys() == {POSITION}
    np.testing.assert_array_equal(trusted[POSITION], [1.2, 1.2])


@pytest.mark.parametrize("velocity", [np.nan, np.inf, -1e32, 1e6])
def test_value_that_no_robot_measures_is_not_trusted(velocity: float) -> None:
    readings, now_s = stored(joint_state(1.2, (0.0, velocity)))
    assert readings.trusted(now_s).keys() == {POSITION}


def test_old_reading_is_not_trusted() -> None:
    readings, now_s = stored(joint_state(1.2, (0.0, 0.0)))
    assert readings.trusted(now_s + 0.09).keys() == {POSITION, VELOCITY}
    assert readings.trusted(now_s + 0.11) == {}


def test_reading_that_is_stuck_while_the_robot_is_commanded_is_not_trusted() -> None:
    readings, now_s = stored(*[joint_state(1.2, (0.0, 0.1 * n)) for n in range(5)])
    assert readings.trusted(now_s).keys() == {POSITION, VELOCITY}
    readings.expect_motion(now_s - 0.06)
    assert readings.trusted(now_s).keys() == {VELOCITY}


@pytest.mark.parametrize(("velocity", "is_trusted"), [(-4.9, True), (5.1, False), (-1e3, False)])
def test_range_of_the_sensor_is_the_task_s_where_it_says_so(
    velocity: float, is_trusted: bool
) -> None:
    channel = replace(ARM.observation[1], valid_range=(-5.0, 5.0))
    task = replace(ARM, observation=(ARM.observation[0], channel))
    readings = SensorReadings(task)
    readings.store("joint_states", joint_state(1.2, (0.0, velocity)), 1.0, 1.0)
    assert (VELOCITY in readings.trusted(1.0)) is is_trusted
    builder = ObservationBuilder(task.observation)
    if is_trusted:
        builder.build(readings.snapshot())
    else:
        with pytest.raises(ObservationError, match="outside of what its sensor can measure, -5"):
            builder.build(readings.snapshot())
