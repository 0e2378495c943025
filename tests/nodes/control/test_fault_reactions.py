"""What the node's cycle does about trouble, in a time of the test's own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from recording_link import Rig

from sac_ros.nodes.control.episode_cycle import Phase
from sac_ros.task.task_spec import TaskSpec, load_task

PENDULUM = load_task("inverted_pendulum")
PERIOD_S = PENDULUM.control_period_s
FULL_N = 300.0


def task_with(**action: object) -> TaskSpec:
    return replace(PENDULUM, action=replace(PENDULUM.action, **action))


def full_force(obs: np.ndarray) -> np.ndarray:
    return np.array([1.0])


def running(task: TaskSpec = PENDULUM, max_late_s: float = np.inf) -> Rig:
    """A rig that has been commanding full force for a while."""
    rig = Rig(task, full_force, max_late_s=max_late_s)
    assert rig.tick(20) == FULL_N
    return rig


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"on_fault": "safe_command"}, [0.0, 0.0, 0.0]),
        # 600 N in 0.6 s is 40 N in one period.
        ({"on_fault": "ramp", "ramp_s": 0.6}, [260.0, 220.0, 180.0]),
        ({"on_fault": "ramp", "ramp_s": 0.6, "rate_limit": (250.0,)}, [290.0, 280.0, 270.0]),
        ({"on_fault": "hold", "kind": "position"}, [300.0, 300.0, 300.0]),
    ],
)
def test_stale_reading_is_answered_by_the_tasks_reaction(
    action: dict[str, Any], expected: list[float]
) -> None:
    rig = Rig(task_with(**action), full_force)
    rig.tick(40)
    assert rig.link.commands[-1] == FULL_N
    rig.tick(2, feed=False)  # 0.08 s: still fresh
    assert rig.link.commands[-1] == FULL_N
    rig.tick(3, feed=False)
    assert [float(c[0]) for c in rig.link.commands[-3:]] == pytest.approx(expected)
    assert rig.cycle.phase is Phase.REACTING and "old" in str(rig.cycle.trouble)


def test_damping_uses_velocity_only_while_it_can_be_trusted() -> None:
    rig = running(task_with(on_fault="damp", damping=(2.0,)))
    rig.now_s += PERIOD_S
    rig.send(0.1)
    rig.cycle.latch("pressed", rig.now_s)
    assert rig.link.commands[-1] == pytest.approx(-0.2)
    assert rig.tick(4, feed=False) == 0.0


def test_deactivate_leaves_the_active_state_at_the_first_trouble() -> None:
    rig = running(task_with(on_fault="deactivate"))
    rig.tick(3, feed=False)
    assert len(rig.link.stops) == 1 and "old" in rig.link.stops[0]


def test_recovery_goes_on_from_the_reactions_last_command_in_a_new_episode() -> None:
    rig = running(task_with(on_fault="ramp", ramp_s=0.6, rate_limit=(1000.0,)), max_late_s=1.0)
    rig.tick(5, feed=False)
    held = rig.link.commands[-1]
    num_transitions = len(rig.link.transitions)
    assert rig.tick() == pytest.approx(held + 40.0)
    rig.tick()
    assert rig.cycle.trouble is None
    assert len(rig.link.transitions) == num_transitions + 1
    first = rig.link.transitions[-1]
    assert first.step == 0 and first.episode == rig.link.transitions[-2].episode + 1


@pytest.mark.parametrize("pause_periods", [3.5, 100.0])
def test_tick_that_comes_too_late_gives_the_reaction_and_waits_for_fresh_readings(
    pause_periods: float,
) -> None:
    rig = running(max_late_s=2.0 * PERIOD_S)
    rig.now_s += pause_periods * PERIOD_S
    rig.send()  # delivered at once when we wake up, whenever it was measured
    rig.cycle.act(rig.now_s)
    assert rig.link.commands[-1] == 0.0 and rig.cycle.num_late == 1
    assert rig.tick(feed=False) == 0.0
    assert rig.tick() == FULL_N and rig.cycle.num_late == 1


def test_tick_that_is_late_within_bounds_is_no_trouble() -> None:
    rig = running(max_late_s=2.0 * PERIOD_S)
    rig.now_s += 1.9 * PERIOD_S
    assert rig.tick() == FULL_N
    assert rig.cycle.num_late == 0


def test_observation_is_not_acted_on_when_the_node_was_held_up() -> None:
    rig = running(max_late_s=2.0 * PERIOD_S)
    num_commands = len(rig.link.commands)
    rig.now_s += 10.0 * PERIOD_S
    rig.send()
    rig.cycle.act_on_observation(rig.now_s, rig.now_s)
    assert len(rig.link.commands) == num_commands
    rig.cycle.watch(rig.now_s)
    assert rig.link.commands[-1] == 0.0


def test_action_that_took_too_long_is_not_sent() -> None:
    slow = [False]
    rig: Rig

    def select_action(obs: np.ndarray) -> np.ndarray:
        if slow[0]:
            rig.now_s += 5.0 * PERIOD_S
        return np.array([1.0])

    rig = Rig(PENDULUM, select_action, max_late_s=2.0 * PERIOD_S)
    assert rig.tick(3) == FULL_N
    slow[0] = True
    assert rig.tick() == 0.0
    assert "took" in str(rig.cycle.trouble)


def test_reaction_goes_on_from_what_was_sent_and_not_from_what_came_too_late() -> None:
    slow = [False]
    rig: Rig

    def select_action(obs: np.ndarray) -> np.ndarray:
        if slow[0]:
            rig.now_s += 5.0 * PERIOD_S
        return np.array([1.0])

    limits = {"rate_limit": (500.0,), "on_fault": "ramp", "ramp_s": 100.0}  # 20 N a period
    rig = Rig(task_with(**limits), select_action, max_late_s=2.0 * PERIOD_S)
    assert rig.tick(3) == pytest.approx(60.0)
    slow[0] = True
    assert rig.tick() == pytest.approx(60.0 - 600.0 * PERIOD_S / 100.0)


def test_emergency_stop_acts_at_once_and_stays_until_it_is_released() -> None:
    rig = running()
    rig.cycle.latch("pressed", rig.now_s)
    assert rig.link.commands[-1] == 0.0
    rig.tick(100)
    assert not np.any(rig.link.commands[-101:])
    rig.send()
    rig.cycle.act_on_observation(rig.now_s, rig.now_s)
    assert rig.link.commands[-1] == 0.0
    rig.cycle.release(rig.now_s)
    assert rig.tick(2) == FULL_N


def test_action_that_is_not_finite_is_a_fault_that_somebody_must_look_at() -> None:
    actions = iter([1.0, 1.0, np.nan, 1.0])
    rig = Rig(PENDULUM, lambda obs: np.array([next(actions)]))
    assert rig.tick(3) == 0.0
    assert rig.link.faults == ["the policy's action is not finite"]


def test_veto_gives_the_reaction_for_as_long_as_it_stands() -> None:
    reasons: list[str | None] = [None] * 3 + ["too near"] * 2 + [None]
    rig = Rig(PENDULUM, full_force, veto=lambda command, readings: reasons.pop(0))
    rig.tick(6)
    assert [float(c[0]) for c in rig.link.commands] == [300.0] * 3 + [0.0] * 2 + [300.0]
    assert "reaction: too near" in rig.link.texts


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda rig: rig.send(stamp_s=rig.now_s - 1.0), "before the last one"),
        (lambda rig: rig.send(stamp_s=rig.sent_s), "sent twice"),
        (lambda rig: None, "old"),
        (lambda rig: rig.send(np.nan), "not finite"),
        (lambda rig: rig.send(np.inf), "not finite"),
    ],
)
def test_input_that_cannot_be_used_gives_the_reaction_within_its_greatest_age_and_a_period(
    spoil: Callable[[Rig], None], reason: str
) -> None:
    rig = running()
    began_s = rig.now_s
    while rig.link.commands[-1] != 0.0:
        rig.now_s += PERIOD_S
        spoil(rig)
        rig.cycle.act(rig.now_s)
        assert rig.now_s - began_s <= PENDULUM.observation[0].max_age_s + PERIOD_S + 1e-9
    assert any(reason in text for text in rig.link.texts)


def test_sensor_that_freezes_while_commanded_is_noticed_and_at_rest_is_not() -> None:
    channel = replace(PENDULUM.observation[0], max_frozen_s=0.2)
    task = replace(PENDULUM, observation=(channel, *PENDULUM.observation[1:]))
    rig = Rig(task, full_force)
    for _ in range(20):  # at rest before anything is commanded
        rig.now_s += PERIOD_S
        rig.send()
        rig.cycle.watch(rig.now_s)
    assert rig.link.commands == []
    for step in range(20):
        rig.tick(value=0.001 * step)
    assert rig.link.commands[-1] == FULL_N
    assert rig.tick(4, value=0.019) == FULL_N
    assert rig.tick(3, value=0.019) == 0.0
    assert "cart_position has not changed for" in str(rig.cycle.trouble)
    assert rig.tick(value=0.02) == FULL_N
