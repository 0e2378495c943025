"""The policy node as a process, over DDS: what it refuses, when it commands, how it stops."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import State, Transition
from pendulum_robot import HALF_FORCE_N, Robot, started
from ros_processes import NodeProcess

pytestmark = pytest.mark.ros


@pytest.mark.distro
@pytest.mark.parametrize("act_on", ["timer", "observation"])
def test_joints_are_matched_by_name_in_any_order_from_several_publishers(
    robot: Robot, policy: Path, log: Path, act_on: str
) -> None:
    with started(policy, log, f"act_on:={act_on}"):
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N, names=("gripper", "hinge", "slider"), velocity=(9.0, 1.0, 9.0))
        # Half of the joints from one publisher, half from another.
        robot.commands.clear()

        def answered() -> bool:
            robot.send(("hinge",), velocity=(-1.0,), publisher=0)
            robot.send(("slider",), velocity=(1.0,), publisher=1)
            return bool(robot.commands) and abs(robot.commands[-1][0] + HALF_FORCE_N) < 1e-3

        robot.observer.wait_until(answered, "a command from both publishers' joints")


def test_nothing_is_commanded_before_every_joint_has_been_heard(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        deadline_s = time.monotonic() + 3.0
        while time.monotonic() < deadline_s:
            robot.send(("slider",))
            robot.observer.spin_for(0.02)
        assert robot.commands == []
        robot.observer.wait_for_output(node, "for joints ['hinge']")
        robot.drive(HALF_FORCE_N)


def test_sensor_that_falls_silent_gives_the_safe_command_until_it_is_back(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log, "act_on:=observation") as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.commands.clear()
        robot.observer.wait_until(lambda: [0.0] in robot.commands, "the safe command")
        robot.observer.wait_until(lambda: robot.commands[-3:] == [[0.0]] * 3, "more of it")
        robot.observer.wait_for_output(node, "more than 0.1 s")
        robot.drive(HALF_FORCE_N)


@pytest.mark.parametrize(
    "message",
    [
        {"position": (float("nan"), 0.0)},
        {"velocity": (1.0, float("inf"))},
    ],
)
def test_reading_that_is_not_finite_gives_the_safe_command(
    robot: Robot, policy: Path, log: Path, message: dict[str, tuple[float, ...]]
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.drive(0.0, **message)
        robot.observer.wait_for_output(node, "not finite")
        assert np.isfinite(robot.commands).all()


def test_message_whose_lengths_disagree_is_ignored_and_named(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.drive(0.0, velocity=(1.0, 1.0, 1.0))  # ignored, so the readings become stale
        robot.observer.wait_for_output(node, "3 entries in velocity for 2 names")


def test_deactivating_sends_the_safe_command_and_then_nothing(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log):
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        assert robot.observer.change_state(Transition.TRANSITION_DEACTIVATE)
        robot.observer.wait_until(lambda: robot.commands[-1] == [0.0], "the safe command")
        robot.commands.clear()
        for _ in range(10):
            robot.send()
            robot.observer.spin_for(0.02)
        assert robot.commands == []


@pytest.mark.distro
def test_node_goes_through_its_whole_life_twice(robot: Robot, policy: Path, log: Path) -> None:
    with NodeProcess("policy_node", f"policy:={policy}", log=log):
        for _ in range(2):
            for transition, state in (
                (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
                (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
            ):
                assert robot.observer.change_state(transition)
                assert robot.observer.state() == state
            robot.wait_for_connection()
            robot.drive(HALF_FORCE_N)
            for transition, state in (
                (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
                (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
            ):
                assert robot.observer.change_state(transition)
                assert robot.observer.state() == state
        assert robot.observer.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)


@pytest.mark.distro
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,  # the terminal, or its ssh session, is closed
        signal.SIGQUIT,
        signal.SIGTSTP,  # Ctrl-Z
        signal.SIGUSR1,
        signal.SIGRTMIN,
    ],
)
def test_signal_sends_the_safe_command_on_the_way_out(
    robot: Robot, policy: Path, log: Path, number: signal.Signals
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        assert node.stop(number) == 0
        robot.observer.wait_until(lambda: robot.commands[-1] == [0.0], "the safe command")


@pytest.mark.distro
@pytest.mark.parametrize("discovery_range", ["LOCALHOST", "SUBNET"])
@pytest.mark.parametrize(("chosen", "is_shared"), [(None, False), ("DEFAULT", True)])
def test_no_lock_is_shared_with_other_processes_unless_it_is_asked_for(
    robot: Robot,
    policy: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    discovery_range: str,
    chosen: str | None,
    is_shared: bool,
) -> None:
    # Whoever dies with such a lock holds up every command that is published.
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", discovery_range)
    if chosen is not None:
        monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", chosen)
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        maps = Path(f"/proc/{node.pid}/maps").read_text()
    assert ("/dev/shm/fast" in maps) is is_shared


def test_termination_stops_the_robot_and_deactivates_the_node(
    robot: Robot, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.drive(0.0, position=(0.0, 0.5))
        robot.observer.wait_for_state(State.PRIMARY_STATE_INACTIVE)
        robot.observer.wait_for_output(node, "the pole fell")


def refused_configuration(robot: Robot, log: Path, *parameters: str) -> str:
    """Configure, expect failure and an unconfigured node; return what it said."""
    with NodeProcess("policy_node", *parameters, log=log) as node:
        assert not robot.observer.change_state(Transition.TRANSITION_CONFIGURE)
        assert robot.observer.state() == State.PRIMARY_STATE_UNCONFIGURED
        return node.output


def test_missing_policy_fails_the_transition(robot: Robot, log: Path) -> None:
    assert "No such file" in refused_configuration(robot, log, "policy:=/nowhere/policy.onnx")


def test_no_policy_fails_the_transition(robot: Robot, log: Path) -> None:
    output = refused_configuration(robot, log, "act_on:=timer")
    assert "'policy' is empty" in output


def test_policy_of_another_task_fails_the_transition(robot: Robot, policy: Path, log: Path) -> None:
    output = refused_configuration(robot, log, f"policy:={policy}", "task:=hopper")
    assert "fingerprint" in output


def test_truncated_policy_fails_the_transition(robot: Robot, policy: Path, log: Path) -> None:
    policy.write_bytes(policy.read_bytes()[:-100])
    assert "cut short" in refused_configuration(robot, log, f"policy:={policy}")


def test_unknown_task_fails_the_transition(robot: Robot, policy: Path, log: Path) -> None:
    output = refused_configuration(robot, log, f"policy:={policy}", "task:=hoper")
    assert "known tasks" in output


def test_unknown_choice_fails_the_transition(robot: Robot, policy: Path, log: Path) -> None:
    output = refused_configuration(robot, log, f"policy:={policy}", "act_on:=always")
    assert "expected one of ['timer', 'observation']" in output


@pytest.mark.distro
@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("seed:=-1", "seed"),
        ("seed:=1.5", "seed"),
        ("reset_settle_s:=100.0", "reset_settle_s"),
        ("executor:=fast", "executor"),
        ("policy:=/nowhere.onnx", "could not start"),
    ],
)
def test_bad_parameter_ends_the_process_with_status_2(
    policy: Path, log: Path, parameter: str, reason: str
) -> None:
    with started(policy, log, parameter) as node:
        assert node.wait() == 2
        last_line = node.output.strip().splitlines()[-1]
        assert reason in last_line and "Traceback" not in node.output
