"""What the policy node reports of itself, gathered from its parts once a period."""

import time
from collections.abc import Sequence
from dataclasses import replace

from sac_ros.nodes.control.emergency_stop import EmergencyStop
from sac_ros.nodes.control.episode_health import intervention_status, reward_status
from sac_ros.nodes.control.intervention import InterventionCounts
from sac_ros.nodes.control.robot_connections import RobotConnections
from sac_ros.nodes.exchange.pending_rewards import RewardCounts
from sac_ros.nodes.health.gc_pauses import GcPauses
from sac_ros.nodes.health.statuses import (
    LateTicks,
    Level,
    Status,
    filter_status,
    gc_status,
    inference_status,
    link_status,
    loop_status,
    readings_status,
    stop_status,
)
from sac_ros.nodes.health.topic_types import TopicTypes
from sac_ros.policy.training_range import TrainingRange


class NodeHealth:
    """Compares each report with the one before, so that what is new stands out."""

    def __init__(
        self,
        connections: RobotConnections,
        emergency_stop: EmergencyStop,
        garbage: GcPauses,
        types: TopicTypes,
    ) -> None:
        self._connections = connections
        self._types = types
        self._garbage = garbage
        self._emergency_stop = emergency_stop
        self._training = TrainingRange(connections.policy.contract)
        self._counts = replace(connections.control_loop.safety_filter.counts)
        self._ticks = LateTicks(late=0, missed=0)
        self._num_refused = 0
        self._interventions = InterventionCounts()
        self._rewards = RewardCounts()
        self._num_updates_refused = 0

    def diagnose(self) -> Sequence[Status]:
        """Return one status for each part of the node; only what is active can be at fault."""
        connections = self._connections
        identity = [self._policy(), self._learner()]
        if not connections.commands.is_activated:
            connections.statistics.report()
            status = stop_status(
                self._emergency_stop.reason, None, "inactive", wrong_types=self._types.wrong
            )
            return [status, *identity]
        cycle, now_s = connections.cycle, time.monotonic()
        report = connections.statistics.report()
        counts = replace(connections.control_loop.safety_filter.counts)
        num_refused = sum(connections.readings.num_refused.values())
        has_all = connections.readings.problem(now_s) is None
        statuses = [
            stop_status(
                self._emergency_stop.reason,
                cycle.trouble,
                cycle.phase.name.lower(),
                cycle.waits_for,
                self._types.wrong,
            ),
            readings_status(
                connections.task,
                connections.readings.ages_s(now_s),
                connections.readings.num_refused,
                num_refused - self._num_refused,
                self._training.unfamiliar(connections.readings.snapshot()) if has_all else [],
            ),
            filter_status(counts, self._counts),
            inference_status(connections.task, report),
            *self._episodes(),
            gc_status(connections.task, self._garbage.report()),
            *identity,
        ]
        ticks = LateTicks(late=cycle.num_late, missed=connections.statistics.num_missed)
        if cycle.is_commanding:
            statuses.append(loop_status(connections.task, report, ticks, ticks.since(self._ticks)))
        self._counts, self._ticks, self._num_refused = counts, ticks, num_refused
        return statuses

    def _episodes(self) -> list[Status]:
        """Say how people and raters take part."""
        connections = self._connections
        counts, before = replace(connections.intervention.counts), self._interventions
        statuses = [
            intervention_status(counts, before, is_intervened=connections.cycle.is_intervened)
        ]
        self._interventions = counts
        stream = connections.stream
        if stream.reward_counts is not None:
            rewards = replace(stream.reward_counts)
            statuses.append(
                reward_status(
                    rewards, self._rewards, stream.num_waiting, drops_unrated=stream.drops_unrated
                )
            )
            self._rewards = rewards
        return statuses

    def _policy(self) -> Status:
        contract = self._connections.policy.contract
        provenance = contract.provenance
        return Status(
            "policy",
            Level.OK,
            f"{self._connections.parameters.policy.name} for {contract.task.name}",
            {
                "file": self._connections.parameters.policy,
                "task": contract.task.name,
                "task fingerprint": contract.task_fingerprint[:12],
                "algorithm": provenance.algorithm,
                "training steps": provenance.steps,
                "training seed": provenance.seed,
                "evaluation return": provenance.evaluation_return,
                "made": provenance.created_utc,
                "commit": provenance.git_commit,
                "shadow": self._connections.parameters.shadow,
            },
        )

    def _learner(self) -> Status:
        connections = self._connections
        robot = connections.exchange.succession.status()
        status = link_status(
            learner=connections.parameters.exchange.learner,
            num_listeners=connections.stream.publisher.get_subscription_count(),
            robot=robot,
            new_refused=robot.num_refused - self._num_updates_refused,
            num_transitions=connections.statistics.num_transitions,
            last_return=connections.statistics.last_return,
        )
        self._num_updates_refused = robot.num_refused
        return status
