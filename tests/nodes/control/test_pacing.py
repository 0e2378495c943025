"""A robot that acts on its observation takes a step a control period, whoever publishes what."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from recording_link import PENDULUM, PERIOD_S, Rig

from sac_ros.task.task_spec import Channel

IMU = Channel(
    name="turn",
    topic="imu",
    type="sensor_msgs/msg/Imu",
    field="angular_velocity",
    unit="rad/s",
)
FAST_S = 0.005
"""How often everything is published: eight times a control period."""
NUM_PERIODS = 50


def joint_state(*names: str) -> SimpleNamespace:
    zeros = [0.0] * len(names)
    return SimpleNamespace(name=list(names), position=zeros, velocity=zeros, effort=[])


def imu() -> SimpleNamespace:
    return SimpleNamespace(angular_velocity=SimpleNamespace(x=0.0, y=0.0, z=0.0))


@pytest.mark.parametrize("behind_s", [0.0, 0.003, 3600.0, -3600.0])
@pytest.mark.parametrize(
    ("topic", "other"),
    [
        ("joint_states", joint_state("hinge")),
        ("joint_states", joint_state("gripper")),
        ("joint_states", joint_state("hinge", "slider")),
        ("imu", imu()),
    ],
    ids=[
        "the_other_half_of_the_joints",
        "joints_of_nobody_here",
        "the_same_joints",
        "another_topic",
    ],
)
def test_publishers_with_clocks_of_their_own_do_not_hurry_the_steps(
    topic: str, other: SimpleNamespace, behind_s: float
) -> None:
    task = replace(PENDULUM, reward_readings=(IMU,)) if topic == "imu" else PENDULUM
    names = ["slider"] if getattr(other, "name", None) == ["hinge"] else ["slider", "hinge"]
    rig = Rig(task, lambda obs: np.zeros(1))

    for _ in range(round(NUM_PERIODS * PERIOD_S / FAST_S)):
        rig.now_s += FAST_S
        for name, message, stamp_s in (
            ("joint_states", joint_state(*names), rig.now_s),
            (topic, other, rig.now_s - behind_s),
        ):
            if rig.cycle.receive(name, message, stamp_s, rig.now_s):
                rig.cycle.act_on_observation(stamp_s, rig.now_s)
        rig.cycle.watch(rig.now_s)

    assert NUM_PERIODS - 2 <= len(rig.link.commands) <= NUM_PERIODS + 1


def test_another_publisher_paces_when_the_first_falls_silent() -> None:
    rig = Rig(PENDULUM, lambda obs: np.zeros(1))

    for names in (("slider", "hinge"), ("hinge", "slider")):
        for _ in range(round(NUM_PERIODS * PERIOD_S / FAST_S)):
            rig.now_s += FAST_S
            if rig.cycle.receive("joint_states", joint_state(*names), rig.now_s, rig.now_s):
                rig.cycle.act_on_observation(rig.now_s, rig.now_s)

    # Its max_age_s of 0.1 s is two and a half control periods.
    assert 2 * NUM_PERIODS - 5 <= len(rig.link.commands) <= 2 * NUM_PERIODS + 1
