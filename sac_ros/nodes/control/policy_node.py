"""The policy on the robot: a lifecycle node from sensor topics to a command topic."""

import re
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from rclpy.timer import Timer
from std_srvs.srv import Trigger

from sac_ros.errors import InputError
from sac_ros.nodes.control.control_phases import Phase
from sac_ros.nodes.control.control_time import ControlTime
from sac_ros.nodes.control.emergency_stop import ESTOP_TOPIC, EmergencyStop
from sac_ros.nodes.control.intervention import InterventionError
from sac_ros.nodes.control.policy_node_health import NodeHealth
from sac_ros.nodes.control.policy_parameters import PARAMETERS, read_policy_parameters
from sac_ros.nodes.control.robot_connections import (
    INTERVENTION_TOPIC,
    RobotConnections,
    connect,
)
from sac_ros.nodes.health.diagnostics_publisher import DiagnosticsPublisher
from sac_ros.nodes.health.gc_pauses import GcPauses
from sac_ros.nodes.health.topic_types import TopicTypes
from sac_ros.nodes.messages.command_message import CommandMessageError, command_from_message
from sac_ros.nodes.messages.message_conversion import command_message
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.nodes.messages.sensor_readings import MessageError
from sac_ros.nodes.process.gc_schedule import GcSchedule
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.nodes.process.parameter_table import UNTIL_CLEANUP, declare
from sac_ros.nodes.process.realtime_priority import take_realtime_priority
from sac_ros.task.ending import Ending
from sac_ros.task.transition import Transition

LOG_INTERVAL_S = 2.0
MAX_KINDS_OF_WARNING = 64


class PolicyNode(LifecycleNode):
    """Runs one exported policy on one robot; it is the RobotLink of its EpisodeCycle.

    Sensor callbacks store; the control tick reads, acts and publishes. Every way out of `active`
    publishes the command to leave the robot with first.
    """

    def __init__(self) -> None:
        super().__init__("policy_node")
        self._parameter_guard = declare(self, PARAMETERS)
        self._connections: RobotConnections | None = None
        self._resources: NodeResources | None = None
        self._timer: Timer | None = None  # exists while active
        self._clock_watch: Timer | None = None  # likewise, with a simulated clock
        self._warned_s: dict[str, float] = {}
        # Services, and not topics: a success that nobody heard must not pass for one.
        for ending in Ending:
            self.create_service(Trigger, f"~/{ending.value}", partial(self._on_ending, ending))
        self._garbage = GcPauses()
        self._collection = GcSchedule()
        self._has_commanded = False  # in the control step that is under way
        self._control_time = ControlTime(self)
        self._types = TopicTypes(self, self.warn)
        self._types.expect({ESTOP_TOPIC: "std_msgs/msg/Bool"})
        self._emergency_stop = EmergencyStop(
            self, on_set=self._on_emergency_stop, on_reset=self._on_emergency_reset
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and verify policy and task; connect to topics. Nothing is commanded yet."""
        try:
            self._connect()
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
        if self._emergency_stop.reason is not None:
            self.get_logger().error(
                f"cannot activate: emergency stop ({self._emergency_stop.reason}); call"
                f" {self.get_fully_qualified_name()}/reset_estop first, then activate"
            )
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        self._collection.start()
        self._garbage.start()
        self._connections.cycle.start(time.monotonic())
        # A simulation's clock may run faster or slower than real time; on a robot, nobody who
        # sets the wall clock may stretch or shorten a control period.
        period_s = self._connections.task.control_period_s
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        clock = self.get_clock() if self._control_time.is_simulated else steady
        self._timer = self.create_timer(period_s, self._on_timer, clock=clock)
        if self._control_time.is_simulated:
            self._clock_watch = self.create_timer(period_s, self._on_clock_watch, clock=steady)
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

    @property
    def is_emergency_stopped(self) -> bool:
        """Say whether an emergency stop forbids to activate the node."""
        return self._emergency_stop.reason is not None

    def stop_robot(self) -> None:
        """Cancel the ticks and publish the last command, while publishing is still possible."""
        for timer in (self._timer, self._clock_watch):
            if timer is not None:
                timer.cancel()
                self.destroy_timer(timer)
        self._timer = self._clock_watch = None
        self._garbage.stop()
        self._collection.stop()
        connections = self._connections
        # Before super().on_deactivate(): an inactive lifecycle publisher drops it without a word.
        if connections is not None and connections.commands.is_activated:
            connections.cycle.deactivate(time.monotonic())
            connections.commands.wait_for_all_acked(Duration(seconds=0.2))
            connections.stream.end_waiting()

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Send a command [A] in the task's unit."""
        assert self._connections is not None
        task = self._connections.task
        message = command_message(task.action, command, task.control_period_s, self.get_clock())
        began_s = time.monotonic()
        self._connections.commands.publish(message)
        self._connections.statistics.note_command(began_s)
        self._has_commanded = True
        if self._connections.delays.is_recording:
            self._connections.delays.note_command(command, self._now_s())

    def publish_transition(self, transition: Transition) -> None:
        """Send one step of experience."""
        assert self._connections is not None
        self._connections.stream.add(transition)

    def request_reset(self, number: int) -> str | None:
        """Call the reset service; return what keeps us from it."""
        assert self._connections is not None
        # Whoever rates the last steps may still be looking at how the robot was left.
        if self._connections.stream.num_waiting:
            return "the rewards of the last steps"
        resets = self._connections.resets
        if not self.can_reset():
            return f"service {resets.srv_name!r}"
        answer = resets.call_async(Trigger.Request())
        answer.add_done_callback(partial(self._on_reset, number))
        return None

    def can_reset(self) -> bool:
        """Say whether the reset service is there."""
        assert self._connections is not None
        return self._connections.resets.service_is_ready()

    def stop(self, reason: str) -> None:
        """Leave the active state, which stops the robot; in shadow, only say so."""
        assert self._connections is not None
        if self._connections.parameters.shadow:
            self.warn(f"in shadow; would stop: {reason}")
            return
        self.get_logger().warning(f"stopping: {reason}")
        if self.trigger_deactivate() != TransitionCallbackReturn.SUCCESS:
            self.fault(f"could not leave the active state to stop: {reason}")

    def fault(self, reason: str) -> None:
        """Stop until somebody has looked at it."""
        self._emergency_stop.set(reason)

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
        sent_s = stamp_s(message, now_s)
        try:
            # While it runs, nobody's /clock may interfere; and the question costs time.
            if cycle.phase is not Phase.RUNNING and sent_s != now_s:
                self._refuse_time_of(sent_s)
            paces = cycle.receive(topic, message, sent_s, now_s)
        except MessageError as error:
            self.warn(f"ignored a message on {topic!r}: {error}")
            return
        if self._connections.delays.is_recording:
            self._record(topic, None if sent_s == now_s else sent_s)
        acts_on_it = paces and self._connections.parameters.act_on == "observation"
        if self._timer is not None and acts_on_it:
            self._guard(partial(cycle.act_on_observation, sent_s, now_s))

    def _record(self, topic: str, stamp_s: float | None) -> None:
        """Note the readings of this moment, for the delay to be worked out."""
        assert self._connections is not None
        if self._connections.cycle.phase is not Phase.RUNNING:
            self._connections.delays.interrupt()
        elif topic == self._connections.task.readings[0].topic:
            readings = self._connections.readings.snapshot()
            self._connections.delays.note_readings(readings, stamp_s, self._now_s())

    def _now_s(self) -> float:
        """Return the time that stamps are of, if the publisher's clock agrees with ours."""
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def _refuse_time_of(self, stamp_s: float) -> None:
        refusal = self._control_time.refusal(stamp_s)
        if refusal is not None:
            raise MessageError(refusal)

    def _on_timer(self) -> None:
        """Act; with act_on: observation, only watch that observations keep coming."""
        assert self._connections is not None
        cycle, now_s = self._connections.cycle, time.monotonic()
        if self._connections.parameters.act_on == "timer":
            self._guard(partial(cycle.act, now_s))
        else:
            self._guard(partial(cycle.watch, now_s))
        self._guard(self._connections.stream.settle)

    def _on_clock_watch(self) -> None:
        """Look after the robot while simulated time stands still."""
        assert self._connections is not None
        self._guard(partial(self._connections.cycle.watch_clock, time.monotonic()))

    def _on_intervention(self, message: object) -> None:
        """Remember what a person asks for; the next control step takes it up."""
        assert self._connections is not None
        intervention, now_s = self._connections.intervention, time.monotonic()
        try:
            command = command_from_message(self._connections.task.action, message)
            intervention.store(command, stamp_s(message, now_s), now_s)
        except (CommandMessageError, InterventionError) as error:
            intervention.counts.refused += 1
            self.warn(f"refused an intervention: {error}")

    def _on_ending(
        self, ending: Ending, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """End the episode by `~/success` or `~/abort`."""
        refusal: str | None = "no episode runs: the node is not active"
        if self._timer is not None and self._connections is not None:
            refusal = self._connections.cycle.end_episode(ending, time.monotonic())
        response.success = refusal is None
        response.message = refusal or f"the episode ends: {ending.value}"
        return response

    def _on_reset(self, number: int, future: "Future[Trigger.Response]") -> None:
        response = future.result()
        if self._timer is None or self._connections is None or response is None:
            return
        refusal = None if response.success else str(response.message)
        self._connections.cycle.finish_reset(number, refusal, time.monotonic())

    def _on_emergency_stop(self, reason: str) -> None:
        if self._timer is not None and self._connections is not None:
            self._connections.cycle.latch(reason, time.monotonic())

    def _on_emergency_reset(self) -> None:
        if self._timer is not None and self._connections is not None:
            self._connections.cycle.release(time.monotonic())

    def _guard(self, step: Callable[[], object]) -> None:
        """Run a control step; whatever goes wrong in it, the robot gets the task's reaction."""
        try:
            step()
        except Exception as error:
            self.fault(f"a control step failed: {error!r}")
        is_commanding = self._connections is not None and self._connections.cycle.is_commanding
        if self._connections is not None and not is_commanding:
            self._connections.statistics.note_silence()
        # Not while a command is still due: of several sensors, the last may be on its way.
        if self._has_commanded or not is_commanding:
            self._has_commanded = False
            self._collection.collect_if_due()

    def _connect(self) -> None:
        """Connect to everything, or leave nothing behind."""
        with NodeResources(self) as resources:
            self._parameter_guard.freeze(UNTIL_CLEANUP)
            resources.on_close(self._parameter_guard.thaw)
            parameters = read_policy_parameters(self)
            connections = connect(
                self,
                resources,
                parameters,
                link=self,
                on_sensor=self._on_sensor,
                on_intervention=self._on_intervention,
                on_garbage=self._collection.ask_for_all,
                is_simulated=self._control_time.is_simulated,
            )
            if parameters.realtime_priority:
                take_realtime_priority(parameters.realtime_priority)
            self._types.expect(_heard_types(connections))
            health = NodeHealth(connections, self._emergency_stop, self._garbage, self._types)
            DiagnosticsPublisher(
                self,
                resources,
                hardware_id=connections.task.name,
                period_s=parameters.diagnostics_period_s,
                diagnose=health.diagnose,
            )
            self._parameter_guard.apply_changes(
                "intervention_timeout_s", connections.intervention.set_timeout
            )
            self._connections, self._resources = connections, resources
        task = connections.task
        self.info(
            f"policy {parameters.policy} for task {task.name!r}: obs [{task.obs_dim}] from"
            f" {list(connections.readings.topic_types)}, action [{task.action_dim}] to"
            f" {connections.commands.topic!r}, every {task.control_period_s} s, acting on"
            f" {parameters.act_on}{'; in shadow, commanding nothing' * parameters.shadow}"
        )

    def _disconnect(self) -> None:
        if self._connections is not None:
            self._types.forget(_heard_types(self._connections))
        self._connections = None
        if self._resources is not None:
            resources, self._resources = self._resources, None
            resources.close()


def _heard_types(connections: RobotConnections) -> dict[str, str]:
    """Return the topics that the node listens to while it is configured, with their types."""
    return {INTERVENTION_TOPIC: connections.task.action.type, **connections.readings.topic_types}
