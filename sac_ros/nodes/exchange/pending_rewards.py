"""Hold steps back until their reward arrives on a topic, and send them in order.

Knows no ROS. A step whose reward does not come in time is never sent, so that nobody learns from
it with a reward of zero; the learner sees the gap in the numbers of its steps.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from sac_ros.errors import InputError
from sac_ros.task.transition import Transition

MAX_REWARD = float(np.finfo(np.float32).max)
"""A learner computes in float32."""
NUM_REMEMBERED = 1024
"""Steps that wait no longer, of which it is still known whether a reward came."""


class RewardError(InputError):
    """A reward cannot be used."""


@dataclass
class RewardCounts:
    """Since the node was configured."""

    rated: int = 0
    """Steps that were sent with a reward of their own."""
    unrated: int = 0
    """Steps for which none came in time."""
    late: int = 0
    """Rewards for a step that waited no longer."""
    duplicate: int = 0
    """Rewards for a step that had one; the first one counts."""
    unknown: int = 0
    """Rewards for a step that was never asked about."""
    malformed: int = 0
    """Of a wrong length, with a step that is no count, or not finite."""

    @property
    def refused(self) -> int:
        """Rewards that changed nothing."""
        return self.late + self.duplicate + self.unknown + self.malformed


@dataclass
class _Waiting:
    """A step on its way out."""

    transition: Transition
    since_s: float
    reward: float | None


StepKey = tuple[int, int]
"""Episode and step."""


class PendingRewards:
    """Holds transitions back until they are rated, and sends them in the order of their steps."""

    def __init__(
        self, timeout_s: float, default: float | None, send: Callable[[Transition], None]
    ) -> None:
        """`default` is the reward of a step that nobody rates in time; None drops the step."""
        self.counts = RewardCounts()
        self.default = default
        self._timeout_s = timeout_s
        self._send = send
        self._waiting: dict[StepKey, _Waiting] = {}
        self._was_rated: dict[StepKey, bool] = {}
        """Of the newest steps that wait no longer."""

    def hold(self, transition: Transition, now_s: float) -> None:
        """Keep a step until it is rated; one whose reward is a number needs nobody."""
        reward = None if math.isnan(transition.reward) else transition.reward
        self._waiting[transition.episode, transition.step] = _Waiting(transition, now_s, reward)
        self.settle(now_s)

    def rate(self, numbers: Sequence[float], now_s: float) -> None:
        """Take `[episode, step, reward]`, or `[reward]` for the step that ended last.

        Raises RewardError for what cannot be used; it is counted, and changes nothing.
        """
        self.settle(now_s)
        try:
            key, reward = self._parse(numbers)
        except RewardError:
            self.counts.malformed += 1
            raise
        if key is None or key not in self._waiting:
            self._refuse(key)
        elif self._waiting[key].reward is not None:
            self.counts.duplicate += 1
            raise RewardError(f"{_named(key)} has its reward already")
        else:
            self._waiting[key].reward = reward
            self.settle(now_s)

    def settle(self, now_s: float) -> None:
        """Send what is rated and end what has waited too long, in the order of the steps."""
        while self._waiting:
            key, first = next(iter(self._waiting.items()))
            if first.reward is None and now_s - first.since_s <= self._timeout_s:
                return
            del self._waiting[key]
            self._close(key, first)

    def end_waiting(self) -> None:
        """Settle everything: nobody will rate any more."""
        self.settle(math.inf)

    @property
    def num_waiting(self) -> int:
        """Steps that have been neither sent nor dropped yet."""
        return len(self._waiting)

    def _close(self, key: StepKey, waiting: _Waiting) -> None:
        is_rated = waiting.reward is not None
        self.counts.rated += is_rated
        self.counts.unrated += not is_rated
        self._was_rated[key] = is_rated
        if len(self._was_rated) > NUM_REMEMBERED:
            del self._was_rated[next(iter(self._was_rated))]
        reward = waiting.reward if is_rated else self.default
        if reward is not None:
            self._send(replace(waiting.transition, reward=reward))

    def _refuse(self, key: StepKey | None) -> NoReturn:
        """Say why a step cannot be rated that does not wait."""
        if key is None or key not in self._was_rated:
            self.counts.unknown += 1
            raise RewardError(
                "no step waits for it" if key is None else f"{_named(key)} is unknown"
            )
        if self._was_rated[key]:
            self.counts.duplicate += 1
            raise RewardError(f"{_named(key)} has its reward already")
        self.counts.late += 1
        raise RewardError(f"{_named(key)} waited {self._timeout_s} s for it, and no longer")

    def _parse(self, numbers: Sequence[float]) -> tuple[StepKey | None, float]:
        """Return whose reward it is, and the reward."""
        if len(numbers) not in (1, 3):
            raise RewardError(
                f"{len(numbers)} numbers, expected [episode, step, reward], or [reward] for the"
                " step that ended last"
            )
        reward = float(numbers[-1])
        if not abs(reward) <= MAX_REWARD:  # false for a NaN too
            raise RewardError(f"the reward {reward} is not finite")
        if len(numbers) == 1:
            newest = self._waiting or self._was_rated
            return next(reversed(newest), None), reward
        episode, step = float(numbers[0]), float(numbers[1])
        if not (episode.is_integer() and step.is_integer()):
            raise RewardError(f"episode {episode}, step {step} are no counts")
        return (int(episode), int(step)), reward


def _named(key: StepKey) -> str:
    return f"step {key[1]} of episode {key[0]}"
