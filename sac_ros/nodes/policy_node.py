"""The policy on the robot: a lifecycle node from sensor topics to a command topic."""

import gc
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.timer import Timer
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from sac_ros.errors import InputError
from sac_ros.nodes.episode_cycle import EpisodeCycle
from sac_ros.nodes.message_conversion import (
    command_message,
    message_class,
    stamp_s,
    transition_message,
)
from sac_ros.nodes.node_parameters import (
    PolicyParameters,
    declare_policy_parameters,
    read_policy_parameters,
)
from sac_ros.nodes.sensor_readings import MessageError, SensorReadings
from sac_ros.policy.control_loop import ControlLoop, SelectAction
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import TaskSpec, load_task
from sac_ros.task.transition import Transition

# Best effort hears reliable and best-effort publishers alike; the reverse hears nothing.
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
TRANSITION_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
LOG_INTERVAL_S = 2.0
MAX_KINDS_OF_WARNING = 64


@dataclass(frozen=True, kw_only=True)
class _Connections:
    """What exists from configure to cleanup."""

    parameters: PolicyParameters
    task: TaskSpec
    cycle: EpisodeCycle
    commands: "LifecyclePublisher[object]"
    transitions: "LifecyclePublisher[Float64MultiArray]"
    contract: "Publisher[String]"
    resets: "Client[Trigger.Request, Trigger.Response]"
    sensors: "Sequence[Subscription[object]]"


class PolicyNode(LifecycleNode):
    """Runs one exported policy on one robot; it is the RobotLink of its EpisodeCycle.

    Sensor callbacks store; the control tick reads, acts and publishes. Every way out of `active`
    publishes the task's safe command first.
    """

    def __init__(self) -> None:
        super().__init__("policy_node")
        declare_policy_parameters(self)
        self._connections: _Connections | None = None
        self._timer: Timer | None = None  # exists while active
        self._warned_s: dict[str, float] = {}

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify policy and task; connect to topics. Nothing is commanded yet."""
        try:
            self._connections = self._connect(read_policy_parameters(self))
        except (InputError, OSError) as error:
            # rclpy swallows what a transition raises, so we say it ourselves.
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"cannot configure: {error!r}")
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to tick; the first command waits for a complete, fresh observation."""
        assert self._connections is not None  # the state machine configures first
        result = super().on_activate(state)
        # What exists by now stays: later collections need not walk it in the middle of a tick.
        gc.collect()
        gc.freeze()
        self._connections.cycle.start(time.monotonic())
        # A simulation's clock may run faster or slower than real time; on a robot, nobody who
        # sets the wall clock may stretch or shorten a control period.
        simulated = self.get_parameter("use_sim_time").value
        clock = self.get_clock() if simulated else Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(
            self._connections.task.control_period_s, self._on_timer, clock=clock
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot, then stop publishing."""
        self.stop_robot()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget policy and topics."""
        self._disconnect()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot, from whatever state."""
        self.stop_robot()
        self._disconnect()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the robot and start over from unconfigured."""
        self.stop_robot()
        self._disconnect()
        return super().on_error(state)

    def stop_robot(self) -> None:
        """Cancel the ticks and publish the safe command, while publishing is still possible."""
        if self._timer is not None:
            self._timer.cancel()
            self.destroy_timer(self._timer)
            self._timer = None
        connections = self._connections
        # Before super().on_deactivate(): an inactive lifecycle publisher drops it without a word.
        if connections is not None and connections.commands.is_activated:
            self.publish_command(np.array(connections.task.action.safe_command, dtype=np.float64))
            connections.commands.wait_for_all_acked(Duration(seconds=0.2))

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Send a command [A] in the task's unit."""
        assert self._connections is not None
        task = self._connections.task
        self._connections.commands.publish(
            command_message(task.action, command, task.control_period_s, self.get_clock())
        )

    def publish_transition(self, transition: Transition) -> None:
        """Send one step of experience, if the parameters ask for it."""
        assert self._connections is not None
        if self._connections.parameters.publish_transitions:
            self._connections.transitions.publish(transition_message(transition))

    def request_reset(self) -> bool:
        """Call the reset service; False while nobody offers it."""
        assert self._connections is not None
        if not self._connections.resets.service_is_ready():
            return False
        self._connections.resets.call_async(Trigger.Request()).add_done_callback(self._on_reset)
        return True

    def stop(self, reason: str) -> None:
        """Leave the active state, which sends the safe command."""
        self.get_logger().warning(f"stopping: {reason}")
        self.trigger_deactivate()

    def info(self, text: str) -> None:
        """Tell the operator."""
        self.get_logger().info(text)

    def warn(self, text: str) -> None:
        """Tell the operator, each kind of trouble at most once every few seconds."""
        # rclpy's own throttle goes by the line of code, so one kind would hide the next.
        kind, now_s = re.sub(r"[-+.\de]*\d", "#", text), time.monotonic()
        if now_s - self._warned_s.get(kind, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return
        if len(self._warned_s) >= MAX_KINDS_OF_WARNING:
            self._warned_s.clear()
        self._warned_s[kind] = now_s
        self.get_logger().warning(text)

    def _on_sensor(self, topic: str, message: object) -> None:
        """Store the message; with act_on: observation, act if the one that was due is complete."""
        assert self._connections is not None
        cycle, now_s = self._connections.cycle, time.monotonic()
        try:
            cycle.receive(topic, message, now_s)
        except MessageError as error:
            self.warn(f"ignored a message on {topic!r}: {error}")
            return
        if self._timer is not None and self._connections.parameters.act_on == "observation":
            self._guard(partial(cycle.act_on_observation, stamp_s(message, now_s), now_s))

    def _on_timer(self) -> None:
        """Act; with act_on: observation, only watch that observations keep coming."""
        assert self._connections is not None
        cycle, now_s = self._connections.cycle, time.monotonic()
        if self._connections.parameters.act_on == "timer":
            self._guard(partial(cycle.act, now_s))
        else:
            self._guard(partial(cycle.watch, now_s))

    def _on_reset(self, future: "Future[Trigger.Response]") -> None:
        response = future.result()
        if self._timer is None or self._connections is None or response is None:
            return
        refusal = None if response.success else str(response.message)
        self._connections.cycle.finish_reset(refusal, time.monotonic())

    def _guard(self, step: Callable[[], object]) -> None:
        """Run a control step; whatever goes wrong in it, the robot gets the safe command."""
        try:
            step()
        except Exception as error:
            self.get_logger().error(f"a control step failed: {error!r}")
            self.stop("a control step failed")

    def _connect(self, parameters: PolicyParameters) -> _Connections:
        """Verify everything that can be refused, then make publishers and subscriptions."""
        task = load_task(parameters.task) if parameters.task else None
        expected = None if task is None else task.fingerprint
        policy = OnnxPolicy.load(parameters.policy, expected_fingerprint=expected)
        task = _with_max_age(task or policy.task, parameters.max_age_s)
        readings = SensorReadings(task)
        episodes = parameters.run == "episodes"
        cycle = EpisodeCycle(
            task=task,
            control_loop=ControlLoop(
                task,
                _action_selection(policy, parameters),
                max_episode_steps=task.max_episode_steps if episodes else None,
            ),
            readings=readings,
            link=self,
            resets_between_episodes=episodes,
            reset_settle_s=parameters.reset_settle_s,
        )
        contract = self.create_publisher(String, "~/contract", LATCHED_QOS)
        contract.publish(String(data=policy.contract.to_json()))
        self.get_logger().info(
            f"policy {parameters.policy} for task {task.name!r}: obs [{task.obs_dim}] from"
            f" {list(readings.topic_types)}, action [{task.action_dim}] to {task.action.topic!r},"
            f" every {task.control_period_s} s, acting on {parameters.act_on}"
        )
        return _Connections(
            parameters=parameters,
            task=task,
            cycle=cycle,
            commands=self.create_lifecycle_publisher(
                message_class(task.action.type), task.action.topic, COMMAND_QOS
            ),
            transitions=self.create_lifecycle_publisher(
                Float64MultiArray, "~/transitions", TRANSITION_QOS
            ),
            contract=contract,
            resets=self.create_client(Trigger, parameters.reset_service),
            sensors=[
                self.create_subscription(
                    message_class(type_name), topic, partial(self._on_sensor, topic), SENSOR_QOS
                )
                for topic, type_name in readings.topic_types.items()
            ],
        )

    def _disconnect(self) -> None:
        connections, self._connections = self._connections, None
        if connections is None:
            return
        for subscription in connections.sensors:
            self.destroy_subscription(subscription)
        self.destroy_client(connections.resets)
        self.destroy_publisher(connections.contract)
        # destroy_publisher would leave these two registered with the lifecycle node.
        self.destroy_lifecycle_publisher(connections.commands)
        self.destroy_lifecycle_publisher(connections.transitions)


def _with_max_age(task: TaskSpec, max_age_s: float) -> TaskSpec:
    """Return the task with another greatest age for all readings; 0.0 keeps its own."""
    if max_age_s == 0.0:
        return task
    return replace(
        task,
        observation=tuple(replace(c, max_age_s=max_age_s) for c in task.observation),
        reward_readings=tuple(replace(r, max_age_s=max_age_s) for r in task.reward_readings),
    )


def _action_selection(policy: OnnxPolicy, parameters: PolicyParameters) -> SelectAction:
    if parameters.action_mode == "mode":
        return policy.mode
    return partial(policy.sample, rng=np.random.default_rng(parameters.seed))
