"""That a press is never lost: events over DDS, the file that keeps it, and the start after it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from pendulum_robot import HALF_FORCE_N, Robot, started
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_processes import Observer, observing
from std_msgs.msg import Bool, Int8
from std_srvs.srv import Trigger

from sac_ros.nodes.control.emergency_stop import EmergencyStop
from sac_ros.nodes.control.emergency_stop_record import EmergencyStopRecord
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode

pytestmark = pytest.mark.ros

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
BUTTONS = {
    "reliable": QoSProfile(depth=10, reliability=RELIABLE),
    "best effort": QoSProfile(depth=10, reliability=BEST_EFFORT),
    "latched": QoSProfile(
        depth=10, reliability=RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
    ),
}
QUIET = PublisherEventCallbacks(use_default_callbacks=False)


@pytest.fixture
def listener() -> Iterator[EmbeddedNode]:
    node = EmbeddedNode("listener")
    yield node
    node.close()


def connected(
    observer: Observer, listener: EmbeddedNode, stop: EmergencyStop, qos: QoSProfile
) -> Publisher:
    """Return a button that has been heard once."""
    button = observer.node.create_publisher(Bool, "estop", qos, event_callbacks=QUIET)
    deadline_s = time.monotonic() + 20.0
    while stop.reason is None:
        assert time.monotonic() < deadline_s
        button.publish(Bool(data=True))
        listener.spin_once(0.02)
    return button


@pytest.mark.parametrize(
    "presses",
    [(True, False), (False, True, False), (True, False, True, False), (True, *[False] * 100)],
    ids=lambda presses: f"{len(presses)} messages",
)
@pytest.mark.parametrize("qos", BUTTONS.values(), ids=BUTTONS.keys())
def test_press_between_other_messages_is_heard_after_a_busy_while(
    listener: EmbeddedNode, qos: QoSProfile, presses: tuple[bool, ...]
) -> None:
    stop = EmergencyStop(listener.node, on_set=lambda reason: None, on_reset=lambda: None)
    with observing() as observer:
        button = connected(observer, listener, stop, qos)
        for _ in range(5):
            # Whatever is left in the queues belongs to the press before.
            for _ in range(400):
                listener.spin_once(0.0)
            stop.reason = None
            for press in presses:
                button.publish(Bool(data=press))
            # The listener is not spun meanwhile, as a node in a control step is not.
            observer.spin_for(0.05)
            deadline_s = time.monotonic() + 5.0
            while stop.reason is None and time.monotonic() < deadline_s:
                listener.spin_once(0.02)
            assert stop.reason == "message on topic 'estop'"


def test_press_is_kept_until_it_is_reset_and_the_file_says_why(ros_home: Path) -> None:
    texts: list[str] = []
    record = EmergencyStopRecord("/robot1/policy_node", texts.append)
    assert record.read() is None
    record.keep("service call\nof somebody")
    record.wait()
    assert record.path == ros_home / "sac_ros/emergency_stops/robot1.policy_node.txt"
    again = EmergencyStopRecord("/robot1/policy_node", texts.append)
    assert again.read() == "service call of somebody"
    assert EmergencyStopRecord("/robot2/policy_node", texts.append).read() is None
    again.keep("once more")
    again.forget()
    again.wait()
    assert record.read() is None and texts == []


def test_stop_that_cannot_be_kept_is_said_and_one_that_cannot_be_read_is_a_stop(
    ros_home: Path,
) -> None:
    texts: list[str] = []
    record = EmergencyStopRecord("/policy_node", texts.append)
    (ros_home / "sac_ros").write_text("a file where the folder should be")
    record.keep("pressed")
    record.wait()
    assert len(texts) == 1 and "could not be kept" in texts[0]
    (ros_home / "sac_ros").unlink()
    record.path.mkdir(parents=True)
    assert "cannot be read" in str(record.read())


def test_stop_outlives_kill_9_and_a_start_that_moves_by_itself_stays_inactive(
    robot: Robot, policy: Path, log: Path, ros_home: Path
) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.observer.call(Trigger, "policy_node/estop", Trigger.Request())
        kept = ros_home / "sac_ros/emergency_stops/policy_node.txt"
        robot.observer.wait_until(kept.exists, "the file")
        node.stop(signal.SIGKILL)
    robot.commands.clear()
    with started(policy, log) as node:
        robot.observer.wait_for_state(State.PRIMARY_STATE_INACTIVE)
        assert "still set from before" in node.output and "service call" in node.output
        assert "cannot activate: emergency stop" in node.output
        assert not robot.observer.change_state(Transition.TRANSITION_ACTIVATE)
        robot.observer.call(Trigger, "policy_node/reset_estop", Trigger.Request())
        robot.observer.wait_until(lambda: not kept.exists(), "the file to go")
        assert robot.commands == []
        assert robot.observer.change_state(Transition.TRANSITION_ACTIVATE)
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)


def test_wrong_type_of_a_button_and_of_a_person_is_named_within_a_while(
    robot: Robot, policy: Path, log: Path
) -> None:
    reported: list[str] = []
    node = robot.observer.node
    node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda m: reported.extend(s.message for s in m.status if "state" in s.name),
        10,
    )
    node.create_publisher(Int8, "estop", 1)
    node.create_publisher(Bool, "policy_node/intervention", 1)
    with started(policy, log) as process:
        for topic in ("'estop' is published as std_msgs/msg/Int8", "'~/intervention' is published"):
            robot.observer.wait_for_output(process, topic)
            robot.observer.wait_until(
                lambda topic=topic: any(topic in text for text in reported), f"{topic} on a display"
            )


WAIT_LIKE_A_LAUNCH = """
import subprocess, sys
process = subprocess.Popen(sys.argv[1:], start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def test_node_sends_the_last_command_when_what_launched_it_is_gone(
    robot: Robot, policy: Path, log: Path
) -> None:
    start = "import sac_ros.nodes.process.executables as e; e.policy_node()"
    parameters = [f"policy:={policy}", "autostart:=true", "stop_with_parent:=true"]
    arguments = [item for parameter in parameters for item in ("-p", parameter)]
    command = [sys.executable, "-c", start, "--ros-args", *arguments]
    with log.open("w") as output:
        launch = subprocess.Popen(
            [sys.executable, "-c", WAIT_LIKE_A_LAUNCH, *command],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    assert launch.stdout is not None
    node_pid = int(launch.stdout.readline())
    try:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        launch.kill()
        robot.observer.wait_until(lambda: robot.commands[-1] == [0.0], "the last command")
        robot.observer.wait_until(lambda: not Path(f"/proc/{node_pid}/fd").exists(), "its end")
    finally:
        launch.wait()
        launch.stdout.close()
        if Path(f"/proc/{node_pid}").exists():
            os.kill(node_pid, signal.SIGKILL)
