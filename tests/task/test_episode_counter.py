"""Returns and gaps, counted once for node, recorder, learner and statistics."""

import numpy as np
import pytest

from sac_ros.task.episode_counter import Episode, EpisodeCounter
from sac_ros.task.transition import Transition


def step(
    number: int, *, episode: int = 0, session: int = 1, ends: bool = False, **parts: object
) -> Transition:
    return Transition(
        session=session,
        episode=episode,
        step=number,
        obs=np.zeros(1, np.float32),
        action=np.zeros(1),
        reward=1.0,
        next_obs=np.zeros(1, np.float32),
        terminated=False,
        truncated=ends,
        **parts,  # type: ignore[arg-type]
    )


def add_episode(
    counter: EpisodeCounter, length: int, *, first: int = 0, **parts: object
) -> Episode | None:
    ended = None
    for number in range(first, length):
        ended = counter.add(step(number, ends=number == length - 1, **parts))  # type: ignore[arg-type]
    return ended


@pytest.mark.parametrize("sessions", [(1, 2), (9, 4), (0, 0)], ids=["new", "lower", "unnumbered"])
@pytest.mark.parametrize("episodes", [(2, 2), (7, 0), (7, 2), (0, 0)])
def test_restarted_node_begins_anew_whatever_its_episode_number(
    sessions: tuple[int, int], episodes: tuple[int, int]
) -> None:
    counter = EpisodeCounter()
    for number in range(5):
        counter.add(step(number, episode=episodes[0], session=sessions[0]))
    ended = add_episode(counter, 10, episode=episodes[1], session=sessions[1])
    assert ended is not None and ended.episode_return == 10.0 and ended.length == 10
    assert (counter.num_lost, counter.num_out_of_order, counter.num_broken) == (0, 0, 1)


def test_lost_steps_are_counted_and_break_their_episode_alone() -> None:
    counter = EpisodeCounter()
    add_episode(counter, 4)
    for number in (0, 1, 5):
        counter.add(step(number, episode=1, ends=number == 5))
    assert counter.num_lost == 3 and counter.num_broken == 1
    ended = add_episode(counter, 6, episode=2)
    assert ended is not None and ended is counter.last and counter.num_lost == 3


def test_first_steps_of_a_new_session_are_lost_but_not_those_before_the_listener_joined() -> None:
    counter = EpisodeCounter()
    assert add_episode(counter, 6, first=4) is None
    assert counter.num_lost == 0
    assert add_episode(counter, 6, first=2, session=2) is None
    assert counter.num_lost == 2


@pytest.mark.parametrize("late", [step(1, episode=0), step(0, episode=0)])
def test_late_step_of_an_earlier_episode_leaves_the_running_one_whole(late: Transition) -> None:
    counter = EpisodeCounter()
    add_episode(counter, 3)
    counter.add(step(0, episode=1))
    counter.add(late)
    ended = counter.add(step(1, episode=1, ends=True))
    assert ended is not None and ended.episode_return == 2.0
    assert counter.num_out_of_order == 1 and counter.num_lost == 0


def test_doubled_step_is_no_part_of_a_return() -> None:
    counter = EpisodeCounter()
    for number in (0, 1, 1):
        counter.add(step(number))
    assert counter.add(step(2, ends=True)) is None
    assert counter.num_out_of_order == 1 and counter.num_broken == 1


def test_run_without_end_is_reported_in_stretches() -> None:
    counter = EpisodeCounter(stretch_steps=4)
    ended = [counter.add(step(number, ends=number == 10)) for number in range(11)]
    whole = [episode for episode in ended if episode is not None]
    assert [(e.ending, e.length) for e in whole] == [
        ("stretch", 4),
        ("stretch", 4),
        ("truncated", 3),
    ]


def test_episode_says_who_had_a_hand_in_it() -> None:
    counter = EpisodeCounter()
    own = add_episode(counter, 3, episode=0, policy=4)
    assert own is not None and own.is_the_policys_own and own.is_of_one_policy and own.policy == 4
    helped = add_episode(counter, 3, episode=1, intervention=True)
    assert helped is not None and not helped.is_the_policys_own and helped.num_interventions == 3
    counter.add(step(0, episode=2, policy=4))
    aborted = counter.add(step(1, episode=2, policy=5, ends=True, aborted=True))
    assert aborted is not None and not aborted.is_the_policys_own and aborted.ending == "aborted"
    assert not aborted.is_of_one_policy
