"""The simulated robot as a process: true to the simulator, and safe to talk nonsense to."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from imu_arm import write_imu_arm
from linear_policy import BALANCING_GAIN, write_linear_policy
from ros_processes import NodeProcess, Observer, observing
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import load_task

pytestmark = [
    pytest.mark.ros,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium"),
]


@pytest.fixture
def observer() -> Iterator[Observer]:
    with observing() as observer:
        yield observer


class Listener:
    """Hears the robot's joints and clock, and commands it."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.states: list[JointState] = []
        self.clocks: list[float] = []
        node = observer.node
        node.create_subscription(JointState, "joint_states", self.states.append, 100)
        node.create_subscription(
            Clock, "/clock", lambda m: self.clocks.append(m.clock.sec + m.clock.nanosec * 1e-9), 100
        )
        self._commands = node.create_publisher(Float64MultiArray, "joint_commands", 10)

    def connect(self) -> None:
        self.observer.wait_until(
            lambda: bool(self.states) and self._commands.get_subscription_count() == 1, "the robot"
        )

    def command(self, *values: float) -> None:
        self._commands.publish(Float64MultiArray(data=values))

    def next_state(self) -> JointState:
        self.states.clear()
        self.observer.wait_until(lambda: bool(self.states), "a joint state")
        return self.states[-1]


def test_robot_stands_still_until_the_first_command_and_after_a_reset(
    observer: Observer, tmp_path: Path
) -> None:
    with NodeProcess("sim_robot_node", "task:=inverted_pendulum", log=tmp_path / "robot.log"):
        robot = Listener(observer)
        robot.connect()
        start = robot.next_state()
        observer.spin_for(0.3)
        assert robot.next_state().position == start.position

        robot.command(300.0)
        observer.wait_until(lambda: robot.states[-1].position[0] > 0.01, "the cart to move")

        assert observer.call(Trigger, "sim_robot/reset", Trigger.Request()).success
        observer.wait_until(
            lambda: robot.next_state().position == robot.next_state().position, "stillness"
        )
        assert abs(robot.states[-1].position[0]) <= 0.011  # Gymnasium's start noise
        assert robot.states[-1].position != start.position


def test_clock_runs_at_the_real_time_factor(observer: Observer, tmp_path: Path) -> None:
    parameters = ("task:=inverted_pendulum", "real_time_factor:=5.0")
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log"):
        robot = Listener(observer)
        robot.connect()
        observer.wait_until(lambda: bool(robot.clocks), "the clock")
        began_s, first_s = time.monotonic(), robot.clocks[-1]
        factors: list[float] = []

        def is_faster() -> bool:
            # A busy machine makes the simulation fall behind now and then, not all the time.
            start_s, clock_s = time.monotonic(), robot.clocks[-1]
            observer.spin_for(0.5)
            factors.append((robot.clocks[-1] - clock_s) / (time.monotonic() - start_s))
            return factors[-1] > 2.0

        observer.wait_until(is_faster, "half a second faster than real time")
        observer.spin_for(1.0)
        whole = (robot.clocks[-1] - first_s) / (time.monotonic() - began_s)
    assert np.all(np.diff(robot.clocks) > 0.0)
    # What waited in our queue at the start came at once.
    assert whole < 7.0, factors


HELD_UP_S = 2.0


def seconds(state: JointState) -> float:
    return float(state.header.stamp.sec + state.header.stamp.nanosec * 1e-9)


@pytest.mark.parametrize("publishes_clock", [True, False])
def test_robot_that_was_held_up_lags_only_behind_a_clock_that_says_so(
    observer: Observer, tmp_path: Path, publishes_clock: bool
) -> None:
    parameters = ("task:=inverted_pendulum", f"publish_clock:={str(publishes_clock).lower()}")
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log") as process:
        robot = Listener(observer)
        robot.connect()
        lag_s = time.time() - seconds(robot.next_state())
        process.send(signal.SIGSTOP)
        observer.spin_for(HELD_UP_S)
        process.send(signal.SIGCONT)
        observer.wait_for_output(process, "slower than")

        def more_s() -> float:
            return time.time() - seconds(robot.next_state()) - lag_s

        if publishes_clock:
            observer.spin_for(0.5)  # what waited in the queues
            assert more_s() > 0.8 * HELD_UP_S and robot.clocks
        else:
            assert abs(lag_s) < 0.5 * HELD_UP_S
            observer.wait_until(lambda: abs(more_s()) < 0.5 * HELD_UP_S, "stamps of now")
            assert not robot.clocks


def test_command_that_makes_no_sense_is_ignored(observer: Observer, tmp_path: Path) -> None:
    log = tmp_path / "robot.log"
    with NodeProcess("sim_robot_node", "task:=inverted_pendulum", log=log) as process:
        robot = Listener(observer)
        robot.connect()
        start = robot.next_state()
        for values in ((float("nan"),), (1.0, 2.0), (), (float("inf"),)):
            robot.command(*values)
            observer.spin_for(0.1)
        assert robot.next_state().position == start.position
        observer.wait_for_output(process, "ignored a command: [nan] is not finite")


def test_motors_do_not_exceed_their_limits(observer: Observer, tmp_path: Path) -> None:
    with NodeProcess("sim_robot_node", "task:=inverted_pendulum", log=tmp_path / "robot.log"):
        robot = Listener(observer)
        robot.connect()

        def pushed() -> bool:
            robot.command(1e6)
            return robot.next_state().effort[0] != 0.0

        observer.wait_until(pushed, "an effort")
        assert max(state.effort[0] for state in robot.states) <= 300.0


def test_robot_falls_safe_when_commands_stop(observer: Observer, tmp_path: Path) -> None:
    parameters = ("task:=inverted_pendulum", "command_timeout_s:=0.1")
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log") as process:
        robot = Listener(observer)
        robot.connect()
        robot.command(100.0)
        observer.wait_until(lambda: robot.next_state().effort[0] == 100.0, "the effort")
        observer.wait_until(lambda: robot.next_state().effort[0] == 0.0, "the safe command")
        observer.wait_for_output(process, "no command for 0.1 s")


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("task:=nowhere", "known tasks"),
        ("task:=''", "task"),
        ("real_time_factor:=0.0", "real_time_factor"),
        ("real_time_factor:=2", "real_time_factor"),
        ("command_timeout_s:=-1.0", "command_timeout_s"),
        ("body_mass:=0.0", "body_mass"),
        ("command_delay_steps:=-1", "command_delay_steps"),
    ],
)
def test_bad_parameter_ends_the_process_with_status_2(
    tmp_path: Path, parameter: str, reason: str
) -> None:
    parameters = ("task:=inverted_pendulum", parameter)
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log") as process:
        assert process.wait() == 2
        assert reason in process.output and "Traceback" not in process.output


def test_another_pace_than_real_time_needs_a_clock_to_tell_it(tmp_path: Path) -> None:
    parameters = ("task:=inverted_pendulum", "real_time_factor:=0.5", "publish_clock:=false")
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log") as process:
        assert process.wait() == 2
        assert "use_sim_time" in process.output and len(process.output.splitlines()) == 1


@pytest.mark.distro
@pytest.mark.parametrize("act_on", ["timer", "observation"])
def test_policy_balances_the_robot_for_whole_episodes(tmp_path: Path, act_on: str) -> None:
    task = replace(load_task("inverted_pendulum"), max_episode_steps=300)
    task_file = tmp_path / "task.yaml"
    task_file.write_text(yaml.safe_dump(to_mapping(task)))
    policy = write_linear_policy(tmp_path / "policy.onnx", task, BALANCING_GAIN)
    summary = tmp_path / "summary.json"
    # The timer follows the robot's clock, so that it keeps up with the faster simulation.
    # A pause of this machine is no fault of a sensor, and none of the policy's either.
    policy_parameters = (
        f"policy:={policy}",
        f"task:={task_file}",
        f"act_on:={act_on}",
        "run:=episodes",
        "max_age_s:=1.0",
    )
    with (
        NodeProcess(
            "episode_recorder",
            "episodes:=1",
            f"output:={summary}",
            "timeout_s:=15.0",
            log=tmp_path / "recorder.log",
        ) as recorder,
        NodeProcess(
            "sim_robot_node",
            f"task:={task_file}",
            "real_time_factor:=5.0",
            "waits_for_command:=true",
            log=tmp_path / "robot.log",
        ),
        NodeProcess(
            "policy_node",
            *policy_parameters,
            "autostart:=true",
            "use_sim_time:=true",
            log=tmp_path / "policy.log",
        ),
    ):
        assert recorder.wait(90.0) == 0
    measured = json.loads(summary.read_text())
    assert measured["lost_transitions"] == 0
    assert measured["endings"] == ["truncated"]
    assert measured["returns_over_ros"] == [300.0]


@pytest.mark.parametrize("real_time_factor", ["0.5", "1.0"])
def test_node_in_real_time_refuses_a_simulation_in_its_own_with_one_line(
    observer: Observer, tmp_path: Path, real_time_factor: str
) -> None:
    task = load_task("inverted_pendulum")
    policy = write_linear_policy(tmp_path / "policy.onnx", task, BALANCING_GAIN)
    commands: list[Float64MultiArray] = []
    observer.node.create_subscription(Float64MultiArray, "joint_commands", commands.append, 10)
    with (
        NodeProcess(
            "sim_robot_node",
            "task:=inverted_pendulum",
            f"real_time_factor:={real_time_factor}",
            log=tmp_path / "robot.log",
        ),
        NodeProcess(
            "policy_node", f"policy:={policy}", "autostart:=true", log=tmp_path / "policy.log"
        ) as node,
    ):
        observer.wait_for_output(node, "give it use_sim_time:=true")
        observer.spin_for(0.5)
        told = [line for line in node.output.splitlines() if "use_sim_time" in line]
    assert commands == [] and len(told) == 1


def test_node_comes_back_to_a_robot_in_real_time_that_was_held_up(
    observer: Observer, tmp_path: Path
) -> None:
    task = load_task("two_joint_arm")
    policy = write_linear_policy(
        tmp_path / "policy.onnx", task, np.full((task.action_dim, task.obs_dim), 0.01)
    )
    robot_parameters = ("task:=two_joint_arm", "publish_clock:=false")
    with (
        NodeProcess("sim_robot_node", *robot_parameters, log=tmp_path / "robot.log") as robot,
        NodeProcess(
            "policy_node", f"policy:={policy}", "autostart:=true", log=tmp_path / "policy.log"
        ) as node,
    ):
        transitions: list[Float64MultiArray] = []
        observer.node.create_subscription(
            Float64MultiArray, "policy_node/transitions", transitions.append, 10
        )
        observer.wait_until(lambda: bool(transitions), "the policy")
        robot.send(signal.SIGSTOP)
        observer.wait_for_output(node, "reaction:")
        observer.spin_for(0.5)
        robot.send(signal.SIGCONT)
        observer.wait_for_output(node, "all is well again")
        transitions.clear()
        observer.wait_until(lambda: len(transitions) > 20, "the policy again")


@pytest.mark.distro
def test_robot_takes_trajectories_where_its_task_sends_them(
    observer: Observer, tmp_path: Path
) -> None:
    arm = load_task("two_joint_arm")
    action = replace(arm.action, type="trajectory_msgs/msg/JointTrajectory")
    task = tmp_path / "arm.yaml"
    task.write_text(yaml.safe_dump(to_mapping(replace(arm, action=action))))
    point = JointTrajectoryPoint(positions=[-0.4, 0.5])
    with NodeProcess("sim_robot_node", f"task:={task}", log=tmp_path / "robot.log"):
        states: list[JointState] = []
        observer.node.create_subscription(JointState, "joint_states", states.append, 10)
        commands = observer.node.create_publisher(JointTrajectory, "joint_commands", 10)

        def is_there() -> bool:
            commands.publish(JointTrajectory(joint_names=["elbow", "shoulder"], points=[point]))
            observer.spin_for(0.02)
            return bool(states) and np.allclose(states[-1].position, [0.5, -0.4], atol=0.1)

        observer.wait_until(is_there, "the arm to go where the trajectory ends")


@pytest.mark.parametrize("act_on", ["timer", "observation"])
def test_policy_acts_on_sensors_of_the_model_too(
    observer: Observer, tmp_path: Path, act_on: str
) -> None:
    task_file = write_imu_arm(tmp_path)
    task = load_task(str(task_file))
    gain = np.full((task.action_dim, task.obs_dim), 0.05)
    policy = write_linear_policy(tmp_path / "policy.onnx", task, gain)
    parameters = (f"policy:={policy}", "use_sim_time:=true", f"act_on:={act_on}", "autostart:=true")
    transitions: list[Float64MultiArray] = []
    observer.node.create_subscription(
        Float64MultiArray, "policy_node/transitions", transitions.append, 100
    )
    with (
        NodeProcess("sim_robot_node", f"task:={task_file}", log=tmp_path / "robot.log"),
        NodeProcess("policy_node", *parameters, log=tmp_path / "policy.log"),
    ):
        observer.wait_until(lambda: len(transitions) > 50, "the policy")

    steps = [transition_from_message(m, task.obs_dim, task.action_dim) for m in transitions]
    obs = np.array([step.next_obs for step in steps])
    # Two angles twice, two velocities, then quaternion, turn and place of the hand.
    half, turn = obs[:, 2:4].sum(axis=1) * 2.5 / 2.0, obs[:, 4:6].sum(axis=1) * 5.0
    np.testing.assert_allclose(np.linalg.norm(obs[:, 6:10], axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(obs[:, 7], np.sin(half), atol=0.1)  # as far as it turns in 20 ms
    assert np.corrcoef(obs[:, 11], turn)[0, 1] > 0.9
    if act_on == "observation":
        stamps_s = np.array([step.next_obs_stamps_s[0] for step in steps])
        assert np.diff(stamps_s).min() > 0.5 * task.control_period_s  # hurried by no other topic


def test_perturbed_robot_is_another_robot_over_ros_too(observer: Observer, tmp_path: Path) -> None:
    parameters = ("task:=inverted_pendulum", "actuator_gain:=0.5", "observation_noise:=0.01")
    with NodeProcess("sim_robot_node", *parameters, log=tmp_path / "robot.log") as process:
        robot = Listener(observer)
        robot.connect()
        held = [robot.next_state().position[0] for _ in range(3)]
        assert len(set(held)) == 3  # it stands still, and its sensors are noisy
        robot.command(100.0)
        observer.wait_until(lambda: robot.next_state().effort[0] == 50.0, "half of the force")
        observer.wait_for_output(process, "actuator_gain 0.5, observation_noise 0.01")


def test_robot_that_waits_for_commands_stands_still_between_them(
    observer: Observer, tmp_path: Path
) -> None:
    with NodeProcess(
        "sim_robot_node",
        *("task:=inverted_pendulum", "waits_for_command:=true", "real_time_factor:=5.0"),
        log=tmp_path / "robot.log",
    ):
        robot = Listener(observer)
        robot.connect()
        task = load_task("inverted_pendulum")
        # Held, it goes on telling the time until its first command.
        robot.command(1.0)
        observer.spin_for(0.3)
        for _ in range(3):
            before_s = robot.clocks[-1]
            robot.command(1.0)
            observer.wait_until(lambda then=before_s: robot.clocks[-1] > then, "a step")
            observer.spin_for(0.3)  # dozens of control periods, if it did not wait
            assert robot.clocks[-1] - before_s == pytest.approx(task.control_period_s)
        stopped_s = robot.clocks[-1]
        observer.wait_until(
            lambda: robot.clocks[-1] > stopped_s + 0.5, "a robot that nobody commands any more"
        )


def test_command_that_comes_early_is_good_for_the_whole_period_after_its_own(
    observer: Observer, tmp_path: Path
) -> None:
    slow = "real_time_factor:=0.1"  # ten physics steps a second, five of them a control period
    with NodeProcess(
        "sim_robot_node",
        *("task:=half_cheetah", "waits_for_command:=true", slow),
        log=tmp_path / "robot.log",
    ):
        robot = Listener(observer)
        robot.connect()
        task = load_task("half_cheetah")
        idle = [0.0] * task.action_dim
        robot.command(*idle)
        standing_s = still_since(robot)
        robot.command(*idle)
        # Before the period is over: a policy takes the observation that is nearest to its time.
        observer.wait_until(
            lambda: robot.clocks[-1] > standing_s + 0.5 * task.control_period_s, "half a period"
        )
        robot.command(*idle)

        assert still_since(robot) - standing_s == pytest.approx(2 * task.control_period_s)


def still_since(robot: Listener) -> float:
    """Wait until simulated time stands still, for most of the second that it may; return it."""
    newest, stood = robot.clocks[-1:], [-1.0]
    while newest != stood:
        robot.observer.spin_for(0.6)
        newest, stood = robot.clocks[-1:], newest
    return stood[0]


def test_robot_that_waits_for_a_learner_slows_down_while_updates_are_owed(
    observer: Observer, tmp_path: Path
) -> None:
    with NodeProcess(
        "sim_robot_node",
        *("task:=inverted_pendulum", "waits_for_learner:=learner_node"),
        log=tmp_path / "robot.log",
    ):
        robot = Listener(observer)
        robot.connect()
        reports = observer.node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        observer.wait_until(lambda: reports.get_subscription_count() == 1, "the robot")

        def progress(owed: int, phase: str) -> float:
            values = [
                KeyValue(key="phase", value=phase),
                KeyValue(key="updates owed", value=str(owed)),
            ]
            status = DiagnosticStatus(name="learner_node: learning", values=values)
            reports.publish(DiagnosticArray(status=[status]))
            observer.spin_for(0.3)  # heard by now
            began_s = robot.clocks[-1]
            observer.spin_for(1.0)
            return robot.clocks[-1] - began_s

        slow = progress(10_000, "tuning")
        assert slow < 0.5 * progress(10_000, "warm_up")
        assert slow < 0.5 * progress(0, "tuning")
