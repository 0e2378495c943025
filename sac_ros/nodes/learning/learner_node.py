"""Learns from a robot's transitions while the robot works, and sends it better policies.

A process of its own, on the robot's computer or another: the policy node never waits for it.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import torch
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from sac_ros.errors import InputError
from sac_ros.nodes.health.diagnostics_publisher import DiagnosticsPublisher
from sac_ros.nodes.health.statuses import Status
from sac_ros.nodes.learning.learner_health import LearnerHealth, LearnerReport
from sac_ros.nodes.learning.learner_parameters import (
    PARAMETERS,
    LearnerParameters,
    read_learner_parameters,
)
from sac_ros.nodes.learning.policy_update_publisher import PolicyUpdatePublisher
from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, TRANSITION_QOS
from sac_ros.nodes.process.log_forwarding import forward_log
from sac_ros.nodes.process.node_process import StandaloneNode, run_process
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.nodes.process.parameter_table import UNTIL_RESTART, count, declare
from sac_ros.nodes.process.process_priority import lower_priority
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus, PolicyStatusError
from sac_ros.sac.on_robot.fine_tuning import Phase
from sac_ros.sac.on_robot.robot_learner import RobotLearner
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.sac.replay.replay_buffer import NonFiniteTransitionError
from sac_ros.task.transition import TransitionError

WORK_PERIOD_S = 0.005
SLICE_S = 0.02
"""How long updates may keep messages waiting in the middleware, whose queue holds 1,000."""
LOG_INTERVAL_S = 2.0
DIAGNOSTICS_PERIOD_S = 1.0


class LearnerNode(StandaloneNode):
    """Takes transitions in, gives policies out; in between, a RobotLearner."""

    def __init__(self) -> None:
        super().__init__("learner_node")
        declare(self, PARAMETERS).freeze(UNTIL_RESTART)
        self._learner: RobotLearner | None = None
        self._num_refused = 0
        self._num_unsaved = 0
        self._status: PolicyStatus | None = None
        self._health = LearnerHealth()
        self._heard_s = -float("inf")
        self._episode_has_ended = False

    def start(self) -> None:
        """Load everything and connect; raise InputError."""
        self._told: LearnerParameters = read_learner_parameters(self)
        parameters = self._told
        lower_priority(count(self, "niceness"))
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        # A compilation of the update takes long, or fails: both are to be seen.
        forward_log(self.get_logger())
        contract = OnnxPolicy.load(parameters.policy).contract
        self._learner = learner = RobotLearner(
            RobotLearnerSettings(
                folder=parameters.out,
                checkpoint=parameters.checkpoint,
                uses_prior=parameters.uses_prior,
                prior_transitions=parameters.prior_transitions,
                config=parameters.config,
                seed=parameters.seed,
                keep_policies=parameters.keep_policies,
                compiled=parameters.compiled,
            ),
            contract,
        )
        self._offer = PolicyUpdatePublisher(self, parameters.key)
        robot = parameters.policy_node
        self.create_subscription(
            Float64MultiArray, f"{robot}/transitions", self._on_transition, TRANSITION_QOS
        )
        self.create_subscription(String, f"{robot}/policy_status", self._on_status, LATCHED_QOS)
        self.create_service(Trigger, "~/resume", self._on_resume)
        self.create_service(Trigger, "~/pause", self._on_pause)
        self._diagnostics = DiagnosticsPublisher(
            self,
            NodeResources(self),
            hardware_id=contract.task.name,
            period_s=DIAGNOSTICS_PERIOD_S,
            diagnose=self._diagnose,
        )
        self.create_timer(WORK_PERIOD_S, self._work, clock=Clock(clock_type=ClockType.STEADY_TIME))
        prior = learner.fine_tuning.prior
        self.get_logger().info(
            f"learning for task {contract.task.name!r} from"
            f" {parameters.checkpoint or 'scratch'}, with {learner.log.num_added} transitions of"
            f" this robot ({learner.log.num_damaged} damaged ones left out) and"
            f" {0 if prior is None else len(prior)} prior ones; newest version {learner.version}"
        )

    def finish(self) -> None:
        """Save everything."""
        if self._learner is not None:
            self._learner.close()

    @property
    def is_compiling(self) -> bool:
        """Whether a thread is at work that nothing can interrupt."""
        return self._learner is not None and self._learner.is_compiling

    def _on_transition(self, message: Float64MultiArray) -> None:
        assert self._learner is not None
        task = self._learner.contract.task
        try:
            transition = transition_from_message(message, task.obs_dim, task.action_dim)
            self._learner.add(transition)
        except (TransitionError, NonFiniteTransitionError) as error:
            self._num_refused += 1
            self._warn(f"refused a transition: {error}")
            return
        except InputError as error:  # a full disk
            self._num_unsaved += 1
            self._warn(str(error))
        self._heard_s = time.monotonic()
        self._episode_has_ended |= transition.terminated or transition.truncated

    def _on_status(self, message: String) -> None:
        assert self._learner is not None
        try:
            status = PolicyStatus.from_json(message.data)
        except PolicyStatusError as error:
            self._num_refused += 1
            self._warn(f"refused a status: {error}")
            return
        self._status = status
        try:
            self._take_up(status)
        except InputError as error:  # a full disk: what was decided holds in this process
            self._warn(str(error))

    def _take_up(self, status: PolicyStatus) -> None:
        """Follow the robot where it went back; offer it the newest policy where it has none."""
        assert self._learner is not None
        learner = self._learner
        learner.heed(status)
        if status.is_rolled_back:
            if not learner.has_followed(status):
                self._offer.withdraw()
                try:
                    learner.roll_back(status)
                finally:
                    self.get_logger().error(f"learning waits for ~/resume: {learner.paused}")
            return
        if self._offer.version is None:
            # After a restart of this process: the robot may have missed what it sent last.
            update = learner.standing_update(status.num_rollbacks)
            if update is not None and update.header.version > status.newest_version:
                self._offer.send(update)
        elif self._offer.num_rollbacks != status.num_rollbacks:
            self._offer.renew(status.num_rollbacks)

    def _work(self) -> None:
        """Learn for a moment; send a policy where an episode has ended."""
        assert self._learner is not None
        until_s = time.monotonic() + SLICE_S
        try:
            self._learner.learn_while(lambda: time.monotonic() < until_s)
        except InputError as error:  # a full disk, where it went back
            self._warn(str(error))
        steps = self._learner.contract.task.max_episode_steps
        is_due = self._episode_has_ended or self._learner.fine_tuning.steps_since_export >= steps
        if not (is_due and self._learner.has_news):
            return
        if time.monotonic() - self._offer.sent_s < self._told.publish_period_s:
            return
        try:
            self._publish()
            self._learner.save_if_due()
        except InputError as error:  # a full disk, or an actor that makes no policy
            self._warn(f"no policy was sent: {error}")

    def _publish(self) -> None:
        assert self._learner is not None
        self._episode_has_ended = False
        update = self._learner.make_update(self._known_rollbacks())
        self._offer.send(update)
        self.get_logger().info(
            f"sent policy version {update.header.version} after"
            f" {update.header.robot_steps} robot steps and"
            f" {self._learner.fine_tuning.learner.num_updates} updates"
        )

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._learner is not None
        response.success = True
        paused = self._learner.paused
        response.message = (
            f"learning again; it had paused: {paused}" if paused else "it was not paused"
        )
        try:
            self._learner.resume()
        except InputError as error:
            response.message += f"; this will be forgotten at a restart: {error}"
        self.get_logger().info(response.message)
        return response

    def _known_rollbacks(self) -> int:
        """Return the rollbacks of the robot that were followed, and seen to by an operator."""
        assert self._learner is not None
        if self._status is not None and not self._status.is_rolled_back:
            return self._status.num_rollbacks
        return self._learner.acknowledged_rollbacks

    def _on_pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        assert self._learner is not None
        response.success, response.message = True, "transitions are kept, nothing is learned"
        try:
            self._learner.pause("asked to, by ~/pause")
        except InputError as error:
            response.message += f"; this will be forgotten at a restart: {error}"
        return response

    def _diagnose(self) -> Sequence[Status]:
        assert self._learner is not None
        learner, tuning, tally = self._learner, self._learner.fine_tuning, self._learner.tally
        is_working = not learner.is_compiling and learner.paused is None
        return self._health.diagnose(
            LearnerReport(
                at_s=time.monotonic(),
                phase=self._phase(),
                is_learning=is_working and tuning.phase is not Phase.WARM_UP,
                paused=learner.paused,
                metrics={} if tuning.metrics is None else asdict(tuning.metrics),
                num_updates=tuning.learner.num_updates,
                updates_owed=tuning.updates_owed,
                max_updates_owed=tuning.config.max_updates_owed,
                num_dropped=tuning.num_dropped,
                utd_ratio=tuning.config.utd_ratio,
                robot_steps=tuning.robot_steps,
                num_buffered=len(tuning.online),
                buffer_capacity=tuning.online.capacity,
                num_demonstrations=learner.demonstrations.log.num_added,
                heard_s=self._heard_s,
                last_return=None if tally.last is None else tally.last.episode_return,
                num_lost=tally.num_lost,
                num_out_of_order=tally.num_out_of_order,
                num_refused=self._num_refused,
                num_unsaved=self._num_unsaved,
                free_bytes=shutil.disk_usage(learner.settings.folder).free,
                version=learner.version,
                sent_s=self._offer.sent_s,
                best_version=learner.best.version,
                best_return=learner.best.median_return,
                robot=self._status,
            )
        )

    def _phase(self) -> str:
        assert self._learner is not None
        if self._learner.paused is not None:
            return "paused"
        return "compiling" if self._learner.is_compiling else self._learner.fine_tuning.phase.value

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=LOG_INTERVAL_S)


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit status."""
    nodes: list[LearnerNode] = []

    def make_node() -> LearnerNode:
        nodes.append(LearnerNode())
        return nodes[0]

    status = run_process(make_node)
    if nodes and nodes[0].is_compiling:
        # All is saved. Python would take its threads down in the midst of a compiler, which aborts.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
