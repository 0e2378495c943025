"""What the cycle does when a person takes over or ends an episode, in a time of the test's own."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from recording_link import (
    FULL_N,
    INTERVENTION_TIMEOUT_S,
    PENDULUM,
    PERIOD_S,
    Rig,
    full_force,
    running,
)

from sac_ros.nodes.control.episode_cycle import Phase
from sac_ros.nodes.control.intervention import InterventionError
from sac_ros.task.ending import Ending
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.task_spec import TaskSpec

NUM_FRESH = int(INTERVENTION_TIMEOUT_S / PERIOD_S)
"""Control steps that one message lasts."""


def task_with(**action: object) -> TaskSpec:
    return replace(PENDULUM, action=replace(PENDULUM.action, **action))


def command(rig: Rig, force_n: float) -> None:
    """A person asks for this now."""
    rig.intervention.store(np.array([force_n]), rig.now_s, rig.now_s)


def intervene(rig: Rig, force_n: float, num: int = 1) -> np.ndarray:
    """A person asks for this, period after period; return the last command."""
    for _ in range(num):
        command(rig, force_n)
        rig.tick()
    return rig.link.commands[-1]


def test_person_commands_at_once_and_what_was_executed_is_recorded_and_flagged() -> None:
    rig = running()
    assert intervene(rig, -90.0, num=3) == -90.0
    rig.tick()
    by_person = [t for t in rig.link.transitions if t.intervention]
    assert [float(t.action[0]) for t in by_person] == pytest.approx([-0.3] * 3)
    assert not rig.link.transitions[-4].intervention
    steps = [t.step for t in rig.link.transitions]
    assert steps == list(range(len(steps)))  # one episode, without a gap


def test_person_who_falls_silent_hands_back_to_the_policy_after_the_timeout() -> None:
    rig = running()
    intervene(rig, -90.0)
    assert rig.tick(NUM_FRESH - 1) == -90.0
    assert rig.tick() == FULL_N
    assert rig.cycle.is_intervened is False
    assert [t for t in rig.link.texts if "command" in t] == [
        "a person commands",
        "the policy commands again",
    ]


def test_policy_comes_back_over_the_fade_from_the_persons_last_command() -> None:
    rig = running(fade_in_s=4 * PERIOD_S)
    intervene(rig, -100.0)
    rig.tick(NUM_FRESH - 1)
    rig.tick(5)
    assert [float(c[0]) for c in rig.link.commands[-6:]] == pytest.approx(
        [-100.0, 0.0, 100.0, 200.0, 300.0, 300.0]
    )
    # Neither the person's nor the policy's alone, so no demonstration.
    assert not any(t.intervention for t in rig.link.transitions[-4:])


@pytest.mark.parametrize(
    ("action", "asked", "executed"),
    [
        ({}, 1e6, FULL_N),
        ({"rate_limit": (250.0,)}, -FULL_N, FULL_N - 250.0 * PERIOD_S),
        ({"joint_limits": (JointLimit(joint="slider", effort=50.0),)}, -FULL_N, -50.0),
    ],
)
def test_person_is_limited_as_the_policy_is(
    action: dict[str, object], asked: float, executed: float
) -> None:
    rig = Rig(task_with(**action), full_force)
    rig.tick(40)
    assert intervene(rig, asked) == pytest.approx(executed)
    rig.tick()
    assert rig.link.transitions[-1].action == pytest.approx(executed / FULL_N)
    assert rig.link.transitions[-1].intervention


def test_veto_of_a_persons_command_is_no_demonstration() -> None:
    rig = running(veto=lambda command, readings: "too near" if command[0] < 0.0 else None)
    assert intervene(rig, -90.0) == 0.0
    assert "reaction: too near" in rig.link.texts
    rig.tick()
    assert rig.link.transitions[-1].action == 0.0 and not rig.link.transitions[-1].intervention


def test_emergency_stop_wins_over_a_person() -> None:
    rig = running()
    intervene(rig, -90.0)
    rig.cycle.latch("pressed", rig.now_s)
    assert rig.link.commands[-1] == 0.0
    num = len(rig.link.commands)
    intervene(rig, -90.0, num=20)
    assert not np.any(rig.link.commands[num:])
    assert rig.cycle.is_intervened is False


def test_person_who_held_the_stick_during_an_emergency_stop_has_to_send_anew() -> None:
    rig = running()
    rig.cycle.latch("pressed", rig.now_s)
    command(rig, -90.0)
    rig.cycle.release(rig.now_s)
    assert rig.tick() == FULL_N
    assert intervene(rig, -90.0) == -90.0


def test_reaction_to_a_fault_wins_over_a_person() -> None:
    rig = running()
    for _ in range(4):
        command(rig, -90.0)
        rig.tick(feed=False)
    assert rig.link.commands[-1] == 0.0 and rig.cycle.phase is Phase.REACTING
    assert intervene(rig, -90.0) == -90.0


def test_persons_command_that_was_held_up_or_sent_twice_is_refused() -> None:
    rig = running()
    rig.intervention.store(np.array([1.0]), 100.0, rig.now_s)
    for stamp_s, arrival_s in ((100.0, 0.1), (99.0, 0.1), (100.1, 0.4)):
        with pytest.raises(InterventionError):
            rig.intervention.store(np.array([2.0]), stamp_s, rig.now_s + arrival_s)
    assert rig.intervention.command(rig.now_s) == 1.0


def test_success_terminates_the_step_under_way_with_its_reward() -> None:
    rig = running(max_episode_steps=1000)
    assert rig.cycle.end_episode(Ending.SUCCESS, rig.now_s) is None
    assert rig.tick() == 0.0
    last = rig.link.transitions[-1]
    # The pendulum's own reward for this step is 0, as nobody is alive after the end.
    assert last.terminated and not last.truncated and last.reward == 1.0
    assert rig.cycle.phase is Phase.RESETTING and "episode ended: success" in rig.link.texts


def test_abort_truncates_the_step_under_way_and_says_so() -> None:
    rig = running(max_episode_steps=1000)
    assert rig.cycle.end_episode(Ending.ABORT, rig.now_s) is None
    assert rig.tick() == 0.0
    last = rig.link.transitions[-1]
    assert last.truncated and last.aborted and not last.terminated and last.reward == 1.0
    assert rig.cycle.phase is Phase.RESETTING and "episode ended: aborted" in rig.link.texts


def test_abort_goes_before_a_success_called_in_the_same_step() -> None:
    rig = running(max_episode_steps=1000)
    for ending in (Ending.SUCCESS, Ending.ABORT, Ending.SUCCESS):
        assert rig.cycle.end_episode(ending, rig.now_s) is None
    rig.tick()
    assert rig.link.transitions[-1].aborted


def test_fall_in_the_same_step_is_no_abort() -> None:
    rig = running(max_episode_steps=1000)
    rig.cycle.end_episode(Ending.ABORT, rig.now_s)
    rig.tick(value=0.3)  # the pole falls
    last = rig.link.transitions[-1]
    assert last.terminated and not last.truncated and not last.aborted


def test_run_without_episodes_is_stopped_by_success_and_by_abort() -> None:
    for ending, reason in ((Ending.SUCCESS, "success"), (Ending.ABORT, "aborted")):
        rig = running()
        assert rig.cycle.end_episode(ending, rig.now_s) is None
        assert rig.tick() == 0.0
        assert rig.link.stops == [reason]


@pytest.mark.parametrize(
    "trouble",
    [
        lambda rig: rig.tick(4, feed=False),
        lambda rig: rig.cycle.latch("pressed", rig.now_s),
        lambda rig: rig.cycle.start(rig.now_s),
    ],
    ids=["stale", "emergency stop", "resetting"],
)
def test_success_is_refused_where_no_step_is_under_way(trouble: Callable[[Rig], None]) -> None:
    rig = running(max_episode_steps=1000)
    trouble(rig)
    num = len(rig.link.transitions)
    refusal = rig.cycle.end_episode(Ending.SUCCESS, rig.now_s)
    assert refusal is not None and "no episode runs" in refusal
    assert len(rig.link.transitions) == num


def test_abort_ends_what_a_fault_has_given_up_and_leaves_the_robot_safe() -> None:
    rig = running(task_with(on_fault="damp", damping=(2.0,)), max_episode_steps=1000)
    rig.tick(4, feed=False)
    assert rig.cycle.phase is Phase.REACTING
    assert rig.cycle.end_episode(Ending.ABORT, rig.now_s) is None
    assert rig.cycle.phase is Phase.RESETTING and rig.link.commands[-1] == 0.0


def test_abort_that_meets_a_fault_still_ends_the_episode_but_no_step_is_made_up() -> None:
    rig = running(max_episode_steps=1000)
    num = len(rig.link.transitions)
    rig.cycle.end_episode(Ending.ABORT, rig.now_s)
    rig.now_s += 3.0 * PERIOD_S
    rig.tick(feed=False)  # stale
    assert rig.cycle.phase is Phase.RESETTING and rig.link.commands[-1] == 0.0
    assert len(rig.link.transitions) == num
    assert any("no step is recorded" in text for text in rig.link.texts)


def test_next_episode_begins_after_the_reset() -> None:
    rig = running(max_episode_steps=1000)
    rig.cycle.end_episode(Ending.SUCCESS, rig.now_s)
    rig.tick(3)
    rig.finish_reset()
    rig.tick(3)
    first = rig.link.transitions[-2]
    assert first.step == 0 and not first.terminated
    assert first.episode == rig.link.transitions[-3].episode + 1
