"""The policy node's ways to be stopped, watched and tried out, as a process over DDS."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from linear_policy import write_linear_policy
from pendulum_robot import HALF_FORCE_N, Robot, started
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_processes import NodeProcess
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.task.task_spec import load_task

pytestmark = pytest.mark.ros

BEST_EFFORT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
URDF = """<robot name="cart"><joint name="slider" type="prismatic">
<limit lower="-1" upper="1" velocity="50" effort="60"/></joint></robot>"""


def drive_for(robot: Robot, duration_s: float) -> None:
    """Publish joints for a while, whatever comes back."""
    robot.commands.clear()
    for _ in range(round(duration_s / 0.02)):
        robot.send()
        robot.observer.spin_for(0.02)


@pytest.mark.distro
@pytest.mark.parametrize("qos", [LATCHED_QOS, BEST_EFFORT_QOS], ids=["latched", "best effort"])
def test_emergency_stop_topic_latches_until_the_service_resets_it(
    robot: Robot, policy: Path, log: Path, qos: QoSProfile
) -> None:
    # By default, a publisher warns of the one of the node's two subscriptions that it cannot reach.
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    stops = robot.observer.node.create_publisher(Bool, "estop", qos, event_callbacks=quiet)
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.observer.wait_until(lambda: stops.get_subscription_count() > 0, "discovery")
        stops.publish(Bool(data=True))
        robot.observer.wait_for_output(node, "emergency stop: message on topic")
        stops.publish(Bool(data=False))
        drive_for(robot, 0.5)
        assert robot.commands and set(map(tuple, robot.commands[1:])) == {(0.0,)}
        answer = robot.observer.call(Trigger, "policy_node/reset_estop", Trigger.Request())
        assert answer.success
        robot.drive(HALF_FORCE_N)


def test_emergency_stop_from_before_the_start_forbids_to_activate(
    robot: Robot, policy: Path, log: Path
) -> None:
    stops = robot.observer.node.create_publisher(Bool, "estop", LATCHED_QOS)
    stops.publish(Bool(data=True))
    with NodeProcess("policy_node", f"policy:={policy}", log=log) as node:
        assert robot.observer.change_state(Transition.TRANSITION_CONFIGURE)
        robot.observer.wait_for_output(node, "emergency stop")
        assert not robot.observer.change_state(Transition.TRANSITION_ACTIVATE)
        assert robot.observer.state() == State.PRIMARY_STATE_INACTIVE
        robot.observer.call(Trigger, "policy_node/reset_estop", Trigger.Request())
        assert robot.observer.change_state(Transition.TRANSITION_ACTIVATE)


def test_emergency_stop_outlives_the_active_state(robot: Robot, policy: Path, log: Path) -> None:
    with started(policy, log):
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.observer.call(Trigger, "policy_node/estop", Trigger.Request())
        assert robot.observer.change_state(Transition.TRANSITION_DEACTIVATE)
        assert not robot.observer.change_state(Transition.TRANSITION_ACTIVATE)


def test_exception_in_a_control_step_stops_the_robot_until_somebody_has_looked(
    robot: Robot, policy: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "robot_veto.py").write_text(
        "def check(command, readings):\n"
        "    if readings['cart_position'][0] > 0.5:\n"
        "        raise ZeroDivisionError('a mistake')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with started(policy, log, "veto:=robot_veto:check") as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        robot.drive(0.0, position=(0.6, 0.0))
        robot.observer.wait_for_output(node, "ZeroDivisionError")
        drive_for(robot, 0.5)
        assert robot.commands and not np.any(robot.commands)
        robot.observer.call(Trigger, "policy_node/reset_estop", Trigger.Request())
        robot.drive(HALF_FORCE_N)


@pytest.mark.parametrize("veto", ["robot_veto", "json:nothing", "json:__name__"])
def test_veto_that_cannot_be_called_is_refused(policy: Path, log: Path, veto: str) -> None:
    with started(policy, log, f"veto:={veto}") as node:
        assert node.wait() == 2
        assert "parameter 'veto'" in node.output


def test_shadow_commands_nothing_and_shows_what_it_would(
    robot: Robot, policy: Path, log: Path
) -> None:
    actions: list[float] = []
    node = robot.observer.node
    node.create_subscription(
        Float64MultiArray, "policy_node/shadow_action", lambda m: actions.append(m.data[0]), 10
    )
    with started(policy, log, "shadow:=true", "run:=episodes") as process:
        robot.observer.wait_until_active()

        def shown() -> bool:
            robot.send()
            return bool(actions) and abs(actions[-1] - HALF_FORCE_N) < 1e-3

        robot.observer.wait_until(shown, "a shadow action")
        robot.send(position=(0.0, 0.5))
        robot.observer.wait_for_output(process, "would stop: the pole fell")
        assert robot.observer.state() == State.PRIMARY_STATE_ACTIVE
        assert node.count_publishers("joint_commands") == 0 and robot.commands == []


def test_action_is_faded_in_after_activation(robot: Robot, policy: Path, log: Path) -> None:
    with started(policy, log, "fade_in_s:=0.4"):
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
    # Other commands than these would not be a blend over 10 periods of 0.04 s.
    steps = {round(abs(command[0]) / 15.0, 3) for command in robot.commands}
    assert steps <= set(range(11)) and len(steps) >= 3, steps


def test_limits_of_the_robot_description_hold(robot: Robot, policy: Path, log: Path) -> None:
    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        robot.drive(HALF_FORCE_N)
        latch = robot.observer.node.create_publisher(String, "robot_description", LATCHED_QOS)
        latch.publish(String(data="<sdf/>"))
        robot.observer.wait_for_output(node, "keeping the task's own joint limits")
        robot.drive(HALF_FORCE_N)
        latch.publish(String(data=URDF))
        robot.observer.wait_for_output(node, "joint limits of robot_description")
        robot.drive(60.0)
        robot.drive(0.0, position=(1.1, 0.0))  # at its end, it is not pushed further


class Diagnosis:
    """The newest level and message of each status."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.levels: dict[str, int] = {}
        self.values: dict[str, dict[str, str]] = {}
        robot.observer.node.create_subscription(DiagnosticArray, "/diagnostics", self._note, 10)

    def _note(self, message: DiagnosticArray) -> None:
        assert message.header.stamp.sec > 0
        for status in message.status:
            self.levels[status.name] = int.from_bytes(status.level, "little")
            self.values[status.name] = {value.key: value.value for value in status.values}

    def wait_for(self, name: str, level: int, **joints: tuple[float, ...]) -> None:
        """Drive the robot until a status has a level."""

        def there() -> bool:
            if joints is not None:
                self._robot.send(**joints)  # type: ignore[arg-type]
            return self.levels.get(f"policy_node: {name}") == level

        self._robot.observer.wait_until(there, f"{name} at level {level}; have {self.levels}")

    def wait_silently_for(self, name: str, level: int) -> None:
        """Wait for a level while no joints are sent."""
        self._robot.observer.wait_until(
            lambda: self.levels.get(f"policy_node: {name}") == level, f"{name} at level {level}"
        )


@pytest.mark.distro
def test_diagnostics_say_how_the_node_is_and_why_it_is_not_well(
    robot: Robot, policy: Path, log: Path
) -> None:
    diagnosis = Diagnosis(robot)
    with started(policy, log, "diagnostics_period_s:=0.2"):
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        for name in ("state", "readings", "safety filter", "inference", "policy", "learner link"):
            diagnosis.wait_for(name, 0)
        values = diagnosis.values["policy_node: policy"]
        assert values["algorithm"] == "by hand" and values["task"] == "inverted_pendulum"
        diagnosis.wait_for("readings", 1, position=(50.0, 0.0))  # never seen in training
        diagnosis.wait_for("readings", 0)
        diagnosis.wait_silently_for("readings", 2)
        diagnosis.wait_silently_for("state", 2)
        diagnosis.wait_for("safety filter", 0)
        robot.observer.call(Trigger, "policy_node/estop", Trigger.Request())
        diagnosis.wait_for("state", 2)
        assert json.loads(diagnosis.values["policy_node: safety filter"]["non_finite"]) == 0


def test_diagnostics_of_an_inactive_node_are_calm(robot: Robot, policy: Path, log: Path) -> None:
    diagnosis = Diagnosis(robot)
    with NodeProcess("policy_node", f"policy:={policy}", "diagnostics_period_s:=0.2", log=log):
        assert robot.observer.change_state(Transition.TRANSITION_CONFIGURE)
        diagnosis.wait_silently_for("state", 0)
        assert set(diagnosis.levels.values()) == {0}


@pytest.mark.parametrize("way", ["deactivate", "estop", "SIGTERM"])
def test_arm_that_the_node_only_watches_stays_where_it_is(
    robot: Robot, tmp_path: Path, log: Path, way: str
) -> None:
    arm = load_task("two_joint_arm")
    policy = write_linear_policy(tmp_path / "arm.onnx", arm, np.zeros((2, arm.obs_dim)))
    states = robot.observer.node.create_publisher(JointState, "joint_states", 10)

    def send_positions() -> None:
        # Its driver has no velocities, so the node waits.
        states.publish(JointState(name=["shoulder", "elbow"], position=[2.0, 2.0]))
        robot.observer.spin_for(0.02)

    with started(policy, log) as node:
        robot.observer.wait_until_active()
        robot.wait_for_connection()
        for _ in range(60):
            send_positions()
        assert robot.commands == []
        robot.observer.wait_for_output(node, "waiting, no command sent yet")
        send_positions()
        if way == "deactivate":
            assert robot.observer.change_state(Transition.TRANSITION_DEACTIVATE)
        elif way == "SIGTERM":
            node.stop()
        else:
            robot.observer.call(Trigger, "policy_node/estop", Trigger.Request())
            send_positions()
        robot.observer.spin_for(0.3)
        # A reaction ramps on from there; to begin with zero would be the jump.
        assert all(min(command) > 1.9 for command in robot.commands[:1]), robot.commands
        assert robot.commands or "is not known" in node.output
