"""Contradicting publishers and half-good descriptions of a robot, over DDS."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from pendulum_robot import HALF_FORCE_N, Robot, started
from std_msgs.msg import String

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS

pytestmark = pytest.mark.ros

LIMITS = '<limit lower="-1" upper="1" velocity="5" effort="60"/>'
PLACEHOLDER = '<limit lower="0" upper="0" velocity="inf" effort="60"/>'


def urdf(slider: str) -> str:
    return f'<robot name="p"><joint name="slider" type="prismatic">{slider}</joint></robot>'


def test_publishers_that_disagree_are_a_fault_until_one_of_them_stops(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.drive(HALF_FORCE_N)

        def contradict() -> bool:
            robot.send()
            robot.send(position=(0.3, 0.0), publisher=1)
            return "which disagree" in node.output and robot.commands[-1] == [0.0]

        robot.observer.wait_until(contradict, "a fault and the safe command")
        line = next(line for line in node.output.splitlines() if "which disagree" in line)
        for part in ("cart_position", "'slider'", "'joint_states'", "0.3", "observer"):
            assert part in line
        robot.drive(HALF_FORCE_N)  # the other one is silent


def test_publisher_that_restarts_is_no_fault(robot: Robot, policy: Path, log: Path) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.drive(HALF_FORCE_N)
        robot.drive(HALF_FORCE_N, publisher=1, position=(0.5, 0.0))
        assert "which disagree" not in node.output


@pytest.mark.parametrize("slider", [LIMITS, PLACEHOLDER])
def test_first_command_waits_for_the_description_that_somebody_publishes(
    robot: Robot, policy: Path, log: Path, slider: str
) -> None:
    latch = robot.observer.node.create_publisher(String, "robot_description", LATCHED_QOS)
    with started(policy, log) as node:
        robot.observer.wait_until_active()

        def waits() -> bool:
            robot.send()
            return "/observer publishes robot_description, but nothing has arrived" in node.output

        robot.observer.wait_until(waits, "the description to be waited for")
        assert robot.commands == []
        latch.publish(String(data=urdf(slider)))
        robot.drive(60.0)
        assert max(abs(command[0]) for command in robot.commands) == 60.0
        if slider == PLACEHOLDER:
            assert "joint 'slider' has lower 0 and upper 0, a placeholder" in node.output


def test_description_is_not_waited_for_where_the_operator_says_so(
    robot: Robot, policy: Path, log: Path
) -> None:
    robot.observer.node.create_publisher(String, "robot_description", LATCHED_QOS)
    with started(policy, log, "wait_for_description:=never"):
        robot.observer.wait_until_active()
        robot.drive(HALF_FORCE_N)


def test_description_that_must_come_is_waited_for_even_if_nobody_publishes_it(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log, "wait_for_description:=always") as node:
        robot.observer.wait_until_active()

        def waits() -> bool:
            robot.send()
            return "parameter wait_for_description is 'always'" in node.output

        robot.observer.wait_until(waits, "the description to be waited for")
        assert robot.commands == []
        latch = robot.observer.node.create_publisher(String, "robot_description", LATCHED_QOS)
        latch.publish(String(data=urdf(LIMITS)))
        robot.drive(60.0)


def test_newest_description_counts(robot: Robot, policy: Path, log: Path) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.drive(HALF_FORCE_N)
        latch = robot.observer.node.create_publisher(String, "robot_description", LATCHED_QOS)
        latch.publish(String(data=urdf(LIMITS)))
        robot.drive(60.0)
        latch.publish(String(data=urdf("<limit/>")))
        robot.observer.wait_for_output(node, "has no lower and upper")
        robot.drive(HALF_FORCE_N)
