"""Publish every step of the robot to the learner, with its reward."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from std_msgs.msg import Float64MultiArray

from sac_ros.nodes.exchange.pending_rewards import PendingRewards, RewardCounts, RewardError
from sac_ros.nodes.exchange.policy_exchange import PolicyExchange
from sac_ros.nodes.health.loop_statistics import LoopStatistics
from sac_ros.nodes.messages.message_conversion import transition_message
from sac_ros.nodes.messages.qos_profiles import TRANSITION_QOS
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.task.reward import Step
from sac_ros.task.transition import Transition


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """Where rewards come from."""

    source: Literal["task", "topic"]
    timeout_s: float
    """How long a step may wait for its reward, once it has ended."""
    unrated: Literal["drop", "zero"]
    """What becomes of a step that nobody rates in time."""
    success_reward: float
    """What `~/success` adds to the step that it ends."""


def not_yet_rated(step: Step) -> float:
    """Return NaN: somebody else is to rate the step."""
    return math.nan


class TransitionPublisher:
    """Owns `~/transitions`, and where a topic gives the rewards, `~/unrated` and `~/reward`."""

    def __init__(
        self,
        resources: NodeResources,
        settings: RewardSettings,
        *,
        statistics: LoopStatistics,
        exchange: PolicyExchange,
        is_published: bool,
        warn: Callable[[str], None],
    ) -> None:
        """Without `is_published`, steps are only rated and counted."""
        self._statistics = statistics
        self._exchange = exchange
        self._is_published = is_published
        self._warn = warn
        self.publisher = resources.lifecycle_publisher(
            Float64MultiArray, "~/transitions", TRANSITION_QOS
        )
        self._awaited: PendingRewards | None = None
        if settings.source == "topic":
            default = 0.0 if settings.unrated == "zero" else None
            self._awaited = PendingRewards(settings.timeout_s, default, self._send)
            self._unrated = resources.lifecycle_publisher(
                Float64MultiArray, "~/unrated", TRANSITION_QOS
            )
            resources.subscription(Float64MultiArray, "~/reward", self._on_reward, TRANSITION_QOS)

    def add(self, transition: Transition) -> None:
        """Send a step, at once or when it has been rated."""
        transition = self._exchange.label(transition)
        if self._awaited is None:
            self._send(transition)
            return
        if math.isnan(transition.reward):
            self._unrated.publish(transition_message(transition))
        self._awaited.hold(transition, time.monotonic())

    def settle(self) -> None:
        """Send or drop what has waited long enough for its reward."""
        if self._awaited is not None:
            self._awaited.settle(time.monotonic())

    def end_waiting(self) -> None:
        """Settle everything: the node stops, and nobody will rate any more."""
        if self._awaited is not None:
            self._awaited.end_waiting()

    @property
    def num_waiting(self) -> int:
        """Steps that wait for their reward."""
        return 0 if self._awaited is None else self._awaited.num_waiting

    @property
    def reward_counts(self) -> RewardCounts | None:
        """What became of the rewards; None where they are the task's own."""
        return None if self._awaited is None else self._awaited.counts

    @property
    def drops_unrated(self) -> bool:
        """Whether a step that nobody rates is lost to learning."""
        return self._awaited is not None and self._awaited.default is None

    def _send(self, transition: Transition) -> None:
        self._statistics.note_transition(transition)
        self._exchange.note(transition)
        if self._is_published:
            self.publisher.publish(transition_message(transition))

    def _on_reward(self, message: Float64MultiArray) -> None:
        assert self._awaited is not None
        try:
            self._awaited.rate(message.data, time.monotonic())
        except RewardError as error:
            self._warn(f"refused a reward: {error}")
