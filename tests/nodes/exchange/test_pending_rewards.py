"""Steps that wait for their rewards, in a time of the test's own."""

import numpy as np
import pytest

from sac_ros.nodes.exchange.pending_rewards import PendingRewards, RewardError
from sac_ros.task.transition import Transition

TIMEOUT_S = 0.5


class Rig:
    """Awaited rewards, and what they let through."""

    def __init__(self, default: float | None = None) -> None:
        self.sent: list[tuple[int, int, float]] = []
        self.awaited = PendingRewards(TIMEOUT_S, default, self._note)

    def _note(self, transition: Transition) -> None:
        self.sent.append((transition.episode, transition.step, transition.reward))

    def hold(self, step: int, now_s: float, reward: float = np.nan, episode: int = 0) -> None:
        self.awaited.hold(
            Transition(
                episode=episode,
                step=step,
                obs=np.zeros(1, np.float32),
                action=np.zeros(1),
                reward=reward,
                next_obs=np.zeros(1, np.float32),
                terminated=False,
                truncated=False,
            ),
            now_s,
        )

    def refuse(self, numbers: list[float], now_s: float, reason: str) -> None:
        with pytest.raises(RewardError, match=reason):
            self.awaited.rate(numbers, now_s)


def test_steps_are_sent_in_their_order_however_the_rewards_come() -> None:
    rig = Rig()
    for step in range(3):
        rig.hold(step, 0.1 * step)
    rig.awaited.rate([0.0, 2.0, 12.0], 0.3)
    rig.awaited.rate([0.0, 1.0, 11.0], 0.3)
    assert rig.sent == []
    rig.awaited.rate([0.0, 0.0, 10.0], 0.3)
    assert rig.sent == [(0, 0, 10.0), (0, 1, 11.0), (0, 2, 12.0)]
    assert rig.awaited.counts.rated == 3 and rig.awaited.num_waiting == 0


def test_step_without_a_reward_is_never_sent_and_does_not_hold_up_the_next() -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.hold(1, 0.1)
    rig.awaited.rate([0.0, 1.0, 1.0], 0.2)
    rig.awaited.settle(TIMEOUT_S)
    assert rig.sent == []
    rig.awaited.settle(TIMEOUT_S + 0.01)
    assert rig.sent == [(0, 1, 1.0)]
    assert rig.awaited.counts.unrated == 1


def test_silence_means_zero_only_where_that_is_asked_for() -> None:
    rig = Rig(default=0.0)
    rig.hold(0, 0.0)
    rig.hold(1, 0.1)
    rig.awaited.rate([5.0], 0.2)
    rig.awaited.settle(1.0)
    assert rig.sent == [(0, 0, 0.0), (0, 1, 5.0)]
    assert rig.awaited.counts.unrated == 1


def test_number_alone_is_for_the_step_that_ended_last() -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.hold(1, 0.1)
    rig.awaited.rate([7.0], 0.2)
    rig.refuse([8.0], 0.2, "has its reward already")
    rig.awaited.rate([0.0, 0.0, 6.0], 0.3)
    assert rig.sent == [(0, 0, 6.0), (0, 1, 7.0)]


def test_late_reward_is_refused_even_before_anybody_has_looked_at_the_clock() -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.refuse([0.0, 0.0, 1.0], TIMEOUT_S + 0.01, "no longer")
    assert rig.sent == [] and rig.awaited.counts.late == 1


def test_second_reward_changes_nothing_whether_the_step_waits_or_has_gone() -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.hold(1, 0.1)
    rig.awaited.rate([0.0, 1.0, 1.0], 0.2)
    rig.refuse([0.0, 1.0, 2.0], 0.2, "already")
    rig.awaited.rate([0.0, 0.0, 0.5], 0.2)
    rig.refuse([0.0, 0.0, 2.0], 0.2, "already")
    assert rig.sent == [(0, 0, 0.5), (0, 1, 1.0)] and rig.awaited.counts.duplicate == 2


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([], "0 numbers"),
        ([0.0, 1.0], "2 numbers"),
        ([0.0] * 1000, "1000 numbers"),
        ([float("nan")], "not finite"),
        ([0.0, 0.0, float("inf")], "not finite"),
        ([0.0, 0.0, 1e300], "not finite"),  # infinite as a float32
        ([0.0, 0.5, 1.0], "no counts"),
        ([float("nan"), 0.0, 1.0], "no counts"),
    ],
)
def test_what_is_no_reward_is_refused_and_counted_and_the_step_waits_on(
    numbers: list[float], reason: str
) -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.refuse(numbers, 0.1, reason)
    assert rig.awaited.counts.malformed == 1 and rig.awaited.num_waiting == 1
    rig.awaited.rate([0.0, 0.0, 1.0], 0.2)
    assert rig.sent == [(0, 0, 1.0)]


def test_reward_of_a_step_that_never_was_is_refused() -> None:
    rig = Rig()
    rig.refuse([1.0], 0.0, "no step waits")
    rig.hold(0, 0.0)
    rig.refuse([0.0, 1.0, 1.0], 0.1, "unknown")
    rig.refuse([-1.0, 0.0, 1.0], 0.1, "unknown")
    assert rig.awaited.counts.unknown == 3


def test_step_that_success_has_rated_waits_only_for_its_turn() -> None:
    rig = Rig()
    rig.hold(0, 0.0)
    rig.hold(1, 0.1, reward=1.0)
    assert rig.sent == []
    rig.awaited.rate([0.0, 0.0, 0.0], 0.2)
    assert rig.sent == [(0, 0, 0.0), (0, 1, 1.0)]


def test_at_the_end_what_is_rated_is_sent_and_the_rest_is_dropped() -> None:
    rig = Rig()
    for step in range(3):
        rig.hold(step, 0.0)
    rig.awaited.rate([0.0, 1.0, 1.0], 0.1)
    rig.awaited.end_waiting()
    assert rig.sent == [(0, 1, 1.0)]
    assert rig.awaited.num_waiting == 0 and rig.awaited.counts.unrated == 2


def test_memory_of_settled_steps_is_bounded() -> None:
    rig = Rig(default=0.0)
    for step in range(5000):
        rig.hold(step, float(step))
    rig.refuse([0.0, 0.0, 1.0], 5000.0, "unknown")
    rig.refuse([0.0, 4999.0, 1.0], 6000.0, "no longer")
