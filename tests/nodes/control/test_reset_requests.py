"""A robot is asked to reset once, for as long as that takes, and again only where it failed."""

import pytest
from recording_link import PERIOD_S, Rig, running

from sac_ros.nodes.control.episode_cycle import Phase
from sac_ros.task.ending import Ending


def resetting(**settings: float) -> Rig:
    """A rig that has just asked for the reset after an episode."""
    rig = running(max_episode_steps=1000, **settings)
    rig.cycle.end_episode(Ending.SUCCESS, rig.now_s)
    rig.tick(2)
    assert rig.cycle.phase is Phase.RESETTING
    return rig


def let_pass(rig: Rig, seconds: float) -> int:
    """Let time pass; return how often a reset was asked for meanwhile."""
    before = len(rig.link.resets)
    rig.tick(round(seconds / PERIOD_S))
    return len(rig.link.resets) - before


def answer(rig: Rig, number: int) -> Phase:
    """Answer a request with success; return what the cycle does then."""
    rig.cycle.finish_reset(number, None, rig.now_s)
    return rig.cycle.phase


def test_reset_that_takes_its_time_is_asked_for_once_and_nothing_is_commanded() -> None:
    rig = resetting()
    num_commands = len(rig.link.commands)
    assert let_pass(rig, 45.0) == 0
    assert len(rig.link.commands) == num_commands
    rig.finish_reset()
    rig.tick(3)
    assert rig.cycle.phase is Phase.RUNNING


def test_refused_reset_is_asked_for_again_a_while_after_the_refusal() -> None:
    rig = resetting()
    let_pass(rig, 10.0)
    rig.finish_reset("somebody stands in the way")
    assert let_pass(rig, 1.8) == 0
    assert let_pass(rig, 0.4) == 1
    assert answer(rig, rig.link.resets[-1]) is Phase.WAITING


@pytest.mark.parametrize("seconds", [0.1, 60.0])
def test_service_that_went_away_is_asked_again_when_it_is_back(seconds: float) -> None:
    rig = resetting()
    lost = rig.link.resets[-1]
    rig.link.is_reset_there = False
    assert let_pass(rig, seconds) == 0
    rig.link.is_reset_there = True
    assert let_pass(rig, 30.0) == 1
    assert answer(rig, lost) is Phase.RESETTING
    assert answer(rig, rig.link.resets[-1]) is Phase.WAITING


def test_reset_without_an_answer_is_given_up_and_its_late_answer_starts_nothing() -> None:
    rig = resetting(reset_timeout_s=5.0)
    late = rig.link.resets[-1]
    assert let_pass(rig, 4.8) == 0
    assert let_pass(rig, 0.4) == 1
    assert answer(rig, late) is Phase.RESETTING
    assert answer(rig, rig.link.resets[-1]) is Phase.WAITING


def test_answer_to_a_reset_of_before_an_emergency_stop_starts_nothing() -> None:
    rig = resetting()
    before = rig.link.resets[-1]
    rig.cycle.latch("pressed", rig.now_s)
    rig.tick()
    rig.cycle.release(rig.now_s)
    assert answer(rig, before) is Phase.RESETTING
    rig.tick()
    assert answer(rig, rig.link.resets[-1]) is Phase.WAITING
