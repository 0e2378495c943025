"""The ROS 2 node of a robot simulated in MuJoCo, with the topics of a real robot."""

import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from sac_ros.errors import InputError
from sac_ros.nodes.messages.command_message import CommandMessageError, command_from_message
from sac_ros.nodes.messages.message_conversion import message_class
from sac_ros.nodes.messages.sensor_message import sensor_message
from sac_ros.nodes.process.node_process import StandaloneNode, run_process
from sac_ros.nodes.process.parameter_table import (
    SEED_RANGE,
    UNTIL_RESTART,
    Parameter,
    count,
    declare,
    flag,
    number,
    text,
)
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import Perturbation
from sim_training.robot_node.simulation_speed import simulation_speed_factor

# Reliable, as joint_state_broadcaster publishes: compatible with every subscriber.
STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
CLOCK_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
LOG_INTERVAL_S = 2.0
MAX_CATCH_UP_S = 0.1
"""After a longer pause the node skips the missed time, with a warning, instead of catching up."""
MAX_COMMAND_WAIT_S = 1.0
"""Longest wait for one command, with `waits_for_command`."""

# The perturbation of the model; see sim_training/robot/perturbation.py.
PERTURBATION_PARAMETERS = (
    Parameter("gravity", 1.0, "Factor on the gravitational acceleration.", (0.0, 100.0)),
    Parameter("friction", 1.0, "Factor on the sliding friction of every geom.", (0.0, 100.0)),
    Parameter("body_mass", 1.0, "Factor on mass and inertia of every body.", (1e-3, 1e3)),
    Parameter("actuator_gain", 1.0, "Factor on the gain of every actuator.", (1e-3, 1e3)),
    Parameter("joint_damping", 1.0, "Factor on the damping of every joint.", (0.0, 1e3)),
    Parameter(
        "joint_range",
        1.0,
        "Factor on the distance of each joint limit from the start pose.",
        (1e-3, 1e3),
    ),
    Parameter(
        "command_delay_steps",
        0,
        "Delay of commands in control steps.",
        (0, 100),
    ),
    Parameter(
        "command_delay_s", 0.0, "Delay of commands in s, added to command_delay_steps.", (0.0, 10.0)
    ),
    Parameter(
        "observation_delay_s",
        0.0,
        "Delay of all sensor readings in s; their time stamps are as old.",
        (0.0, 10.0),
    ),
    Parameter(
        "observation_noise",
        0.0,
        "Standard deviation of the noise on each joint position in rad or m, on each velocity in"
        " rad/s or m/s, and on other sensor values in their unit; orientations have no noise.",
        (0.0, 1e3),
    ),
    Parameter(
        "push_force_n", 0.0, "Maximum force in N of random pushes, each 0.1 s long.", (0.0, 1e6)
    ),
    Parameter(
        "command_stall_s",
        0.0,
        "Longest scheduling stall in s: every 2 s on average, no command takes effect for up to"
        " this long, and the actuators hold the last one.",
        (0.0, 10.0),
    ),
)
PARAMETERS = (
    Parameter("task", "", "Task name, or path of a task .yaml."),
    Parameter("seed", 0, "Seed of start poses, noise and pushes.", SEED_RANGE),
    Parameter(
        "publish_clock",
        True,
        "Publish simulated time on /clock and use it for time stamps. If false, stamps are system"
        " time, as on a real robot.",
    ),
    Parameter("real_time_factor", 1.0, "Simulated seconds per real second.", (0.01, 100.0)),
    Parameter(
        "waits_for_command",
        False,
        "Pause simulated time until the command of each control period arrives, for 1 s at most."
        " Results then do not depend on the load of the machine.",
    ),
    Parameter(
        "waits_for_learner",
        "",
        "Name of a learner node, such as learner_node. Simulated time slows down while that learner"
        " has pending updates, so that it keeps its update-to-data ratio.",
    ),
    Parameter(
        "command_timeout_s",
        0.5,
        "Simulated time in s without a command, after which the safe command is applied.",
        (0.0, 60.0),
    ),
    *PERTURBATION_PARAMETERS,
)


@dataclass(frozen=True, kw_only=True)
class SensorPublisher:
    """The publisher of one sensor topic of the task, other than joint states."""

    publisher: "Publisher[Any]"  # in quotes: not generic in Jazzy
    type: str
    readings: Mapping[str, str]
    """Message field -> name of the reading."""


class SimRobotNode(StandaloneNode):
    """Steps a MuJoCo model in real time, publishes joint states and sensors, and takes commands.

    After a start or a reset it stays at its start pose until the first command, like a Gymnasium
    environment. If commands stop, it applies the task's safe command.

    Time stamps are simulated time, which /clock publishes too. If the simulation is too slow, it
    falls behind real time; nodes that use /clock are not affected. Without /clock, stamps are
    system time, as from a driver.
    """

    def __init__(self) -> None:
        super().__init__("sim_robot")
        parameters = declare(self, PARAMETERS)
        parameters.freeze(UNTIL_RESTART)
        parameters.apply_changes("command_timeout_s", self._set_command_timeout)
        self._command: NDArray[np.float64] = np.zeros(0)
        self._is_held = True
        self._num_steps = 0
        self._last_command_step = 0
        self._commanded_until_step = 0
        self._pace = 1.0
        self._waiting_since_s: float | None = None

    def start(self) -> None:
        """Load the model, create topics and timer; raise InputError for an invalid parameter."""
        task = _read_task(self)
        perturbation = _read_perturbation(self)
        self._robot = MujocoRobot(task, perturbation)
        self._rng = np.random.default_rng(count(self, "seed"))
        self._robot.reset(self._rng)
        self._real_time_factor = number(self, "real_time_factor")
        publishes_clock = flag(self, "publish_clock")
        if not publishes_clock:
            _require_real_time_without_clock(self)
        self._command_timeout_s = number(self, "command_timeout_s")
        self._action = task.action
        self._safe_command = np.array(task.action.safe_command)
        self._low, self._high = np.array(task.action.low), np.array(task.action.high)
        self._command = self._safe_command
        self._state = JointState(name=list(self._robot.joint_names))
        self._observation_delay_s = perturbation.observation_delay_s
        # The only absolute name: ROS simulated time always uses /clock. Created before the joint
        # states, so that subscribers discover the clock before messages stamped with it.
        self._clocks = (
            self.create_publisher(ClockMessage, "/clock", CLOCK_QOS) if publishes_clock else None
        )
        joint_topics = {reading.topic for reading in task.readings if reading.is_of_joints}
        self._states = [
            self.create_publisher(JointState, topic, STATE_QOS)
            for topic in sorted(joint_topics) or ["joint_states"]
        ]
        self._sensors = _sensor_publishers(self, task)
        self.create_subscription(
            message_class(task.action.type), task.action.topic, self._on_command, COMMAND_QOS
        )
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._waits_for_command = flag(self, "waits_for_command")
        self._learner = text(self, "waits_for_learner")
        if self._learner:
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._restart_step_clock()
        self.create_timer(
            self._robot.timestep_s / self._real_time_factor,
            self._on_timer,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self.get_logger().info(
            f"robot of task {task.name!r} with joints {list(self._robot.joint_names)}, a physics"
            f" step every {self._robot.timestep_s} s, at {self._real_time_factor} x real time;"
            f" {perturbation}"
        )

    def _set_command_timeout(self, timeout_s: float) -> None:
        self._command_timeout_s = timeout_s

    def _on_timer(self) -> None:
        """Take every physics step that is due now, and publish after each."""
        elapsed_s = (time.monotonic() - self._started_s) * self._real_time_factor * self._pace
        due = self._steps_at_start + int(elapsed_s / self._robot.timestep_s)
        behind_s = (due - self._num_steps) * self._robot.timestep_s
        if behind_s / (self._real_time_factor * self._pace) > MAX_CATCH_UP_S:
            self.get_logger().warning(
                "the simulation is slower than real_time_factor asks: simulated time falls behind"
                if self._clocks
                else f"the simulation is slower than real time: it paused for {behind_s:.3f} s",
                throttle_duration_sec=LOG_INTERVAL_S,
            )
            self._restart_step_clock()
            due = self._num_steps + 1
        while self._num_steps < due:
            if self._must_wait():
                self._restart_step_clock()
                return
            self._step()

    def _restart_step_clock(self) -> None:
        """Count due steps from now on, and drop all that are overdue."""
        self._started_s = time.monotonic()
        self._steps_at_start = self._num_steps

    def _must_wait(self) -> bool:
        """Return whether to wait for the command of this control period.

        A late policy then finds the robot in the state that it observed, also on a busy machine.
        """
        has_come = self._num_steps < self._commanded_until_step
        if not self._waits_for_command or self._is_held or has_come:
            self._waiting_since_s = None
            return False
        now_s = time.monotonic()
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s < MAX_COMMAND_WAIT_S

    def _step(self) -> None:
        self._num_steps += 1
        if not self._is_held:
            silent_s = (self._num_steps - self._last_command_step) * self._robot.timestep_s
            if silent_s > self._command_timeout_s:
                self._command = self._safe_command
                self.get_logger().warning(
                    f"no command for {self._command_timeout_s} s: applying the safe command",
                    throttle_duration_sec=LOG_INTERVAL_S,
                )
            self._robot.set_command(self._command)
            self._robot.step()
        self._publish()

    def _publish(self) -> None:
        self._state.header.stamp = self._stamp(self._observation_delay_s)
        self._state.position = array("d", self._robot.position)
        self._state.velocity = array("d", self._robot.velocity)
        self._state.effort = array("d", self._robot.effort)
        # Before the joint states, because their arrival triggers the policy.
        for sensor in self._sensors:
            values = {field: self._robot.sensor(name) for field, name in sensor.readings.items()}
            message = sensor_message(sensor.type, values, self._state.header.stamp)
            sensor.publisher.publish(message)
        for publisher in self._states:
            publisher.publish(self._state)
        # After the joint states, so that a timer on this clock finds the matching state.
        if self._clocks is not None:
            self._clocks.publish(ClockMessage(clock=self._stamp()))

    def _stamp(self, age_s: float = 0.0) -> Time:
        """Return the time `age_s` ago: simulated time, or system time without /clock.

        Simulated time also advances while the robot is held or reset. Without /clock, simulated
        stamps would lag behind the system clock after every pause of this process, and all later
        messages would look delayed.
        """
        if self._clocks is None:
            nanoseconds = self.get_clock().now().nanoseconds - round(age_s * 1e9)
        else:
            # Shifted by the observation delay: a stamp of zero or less would mean "no stamp".
            time_s = self._num_steps * self._robot.timestep_s + self._observation_delay_s
            nanoseconds = round((time_s - age_s) * 1e9)
        return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)

    def _on_command(self, message: object) -> None:
        try:
            command = command_from_message(self._action, message)
        except CommandMessageError as error:
            self.get_logger().warning(
                f"ignored a command: {error}", throttle_duration_sec=LOG_INTERVAL_S
            )
            return
        # Like a real motor, the robot limits whatever command it gets.
        self._command = np.clip(command, self._low, self._high)
        self._last_command_step = self._num_steps
        self._is_held = False
        # A command covers one control period, which starts where the previous one ends. Otherwise
        # the robot would wait too early for a policy that sent its command a little early.
        period = self._robot.steps_per_control
        begin = max(self._commanded_until_step, self._num_steps)
        self._commanded_until_step = min(begin, self._num_steps + period) + period

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"{self._learner}: learning":
                self._pace = simulation_speed_factor(
                    {item.key: item.value for item in status.values}
                )
                self._restart_step_clock()

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._robot.reset(self._rng)
        self._command = self._safe_command
        self._commanded_until_step = 0
        self._is_held = True
        response.success = True
        response.message = "robot is at a start pose, held there until the first command"
        return response


def _read_task(node: Node) -> TaskSpec:
    name = text(node, "task")
    if not name:
        raise InputError("parameter task is empty; give a task name or a .yaml file")
    return load_task(name)


def _sensor_publishers(node: Node, task: TaskSpec) -> tuple[SensorPublisher, ...]:
    fields: dict[tuple[str, str], dict[str, str]] = {}
    for reading in task.readings:
        if not reading.is_of_joints:
            fields.setdefault((reading.topic, reading.type), {})[reading.field] = reading.name
    return tuple(
        SensorPublisher(
            publisher=node.create_publisher(message_class(type_name), topic, STATE_QOS),
            type=type_name,
            readings=readings,
        )
        for (topic, type_name), readings in fields.items()
    )


def _require_real_time_without_clock(node: Node) -> None:
    """Without /clock, raise InputError for parameters that change the speed of time."""
    expected = {"real_time_factor": 1.0, "waits_for_command": False, "waits_for_learner": ""}
    for name, value in expected.items():
        found = node.get_parameter(name).value
        if found != value:
            raise InputError(
                f"{name} is {found} with publish_clock false, expected {value!r}: without /clock"
                " other nodes cannot follow the simulation's speed; set publish_clock true and give"
                " the policy node use_sim_time:=true"
            )


def _read_perturbation(node: Node) -> Perturbation:
    found = {row.name: node.get_parameter(row.name).value for row in PERTURBATION_PARAMETERS}
    try:
        return Perturbation(**found)
    except ValueError as error:
        raise InputError(str(error)) from error


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit status."""
    return run_process(SimRobotNode)
