"""Every transition says by their stamps which messages its observations were made of."""

from types import SimpleNamespace

import numpy as np
from recording_link import Rig

from sac_ros.task.task_spec import load_task

PENDULUM = load_task("inverted_pendulum")
# In the task's order: slider and hinge position, slider and hinge velocity.
NUM_STAMPS = 4


def rig() -> Rig:
    return Rig(PENDULUM, lambda obs: np.array([0.1]))


def test_stamps_are_those_of_the_messages_around_the_step() -> None:
    robot = rig()
    for number in range(4):
        robot.now_s += PENDULUM.control_period_s
        robot.send(0.01, stamp_s=1000.0 + number)
        robot.cycle.act(robot.now_s)
    for number, transition in enumerate(robot.link.transitions):
        np.testing.assert_array_equal(transition.obs_stamps_s, [1000.0 + number] * NUM_STAMPS)
        np.testing.assert_array_equal(transition.next_obs_stamps_s, [1001.0 + number] * NUM_STAMPS)
    assert len(robot.link.transitions) == 3


def test_each_joint_has_the_stamp_of_its_own_publisher() -> None:
    robot = rig()

    def send(joint: str, stamp_s: float) -> None:
        state = SimpleNamespace(name=[joint], position=[0.0], velocity=[0.0], effort=[])
        robot.cycle.receive("joint_states", state, stamp_s, robot.now_s)

    for number in range(2):
        robot.now_s += PENDULUM.control_period_s
        send("slider", 10.0 + number)
        send("hinge", 20.0 + number)
        robot.cycle.act(robot.now_s)
    (transition,) = robot.link.transitions
    np.testing.assert_array_equal(transition.next_obs_stamps_s, [11.0, 21.0, 11.0, 21.0])


def test_message_without_a_stamp_counts_as_stamped_zero() -> None:
    robot = rig()
    robot.tick(2)
    (transition,) = robot.link.transitions
    np.testing.assert_array_equal(transition.next_obs_stamps_s, np.zeros(NUM_STAMPS))
