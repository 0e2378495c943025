from dataclasses import replace

import numpy as np
import pytest

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.observation_pacer import ObservationPacer
from sac_ros.task.observation import ObservationError
from sac_ros.task.task_spec import TaskSpec, load_task

PENDULUM = load_task("inverted_pendulum")


def readings(pole_angle: float = 0.0, cart_position: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "cart_position": np.array([cart_position]),
        "pole_angle": np.array([pole_angle]),
        "cart_velocity": np.array([0.0]),
        "pole_velocity": np.array([0.0]),
    }


def loop(
    action: float = 0.5, max_episode_steps: int | None = None, task: TaskSpec = PENDULUM
) -> ControlLoop:
    return ControlLoop(task, lambda obs: np.array([action]), max_episode_steps)


def test_command_is_the_action_in_the_tasks_unit() -> None:
    np.testing.assert_array_equal(loop(0.5).tick(readings()).command, [150.0])


def test_transition_joins_what_was_seen_done_and_seen_next() -> None:
    control_loop = loop(0.5)
    assert control_loop.tick(readings(cart_position=1.0)).transition is None
    transition = control_loop.tick(readings(cart_position=2.0)).transition
    assert transition is not None
    assert transition.obs[0] == 1.0 and transition.next_obs[0] == 2.0
    assert transition.action == 0.5 and transition.reward == 1.0
    assert (transition.episode, transition.step) == (0, 0)
    assert not transition.terminated and not transition.truncated


def test_transition_holds_the_executed_action_not_the_one_asked_for() -> None:
    slow = replace(PENDULUM, action=replace(PENDULUM.action, rate_limit=(1500.0,)))
    control_loop = loop(1.0, task=slow)  # asks for 300 N, may change by 60 N in one period
    assert control_loop.tick(readings()).command == 60.0
    tick = control_loop.tick(readings())
    assert tick.command == 120.0 and tick.transition is not None
    assert tick.transition.action == pytest.approx(0.2)


def test_termination_gives_the_safe_command_and_its_reason() -> None:
    control_loop = loop(1.0)
    control_loop.tick(readings())
    tick = control_loop.tick(readings(pole_angle=0.3))
    assert tick.command == 0.0 and tick.termination_reason == "the pole fell"
    assert tick.transition is not None and tick.transition.terminated
    assert not tick.transition.truncated and tick.transition.reward == 0.0


def test_robot_that_starts_outside_of_its_limits_gets_no_action() -> None:
    tick = loop(1.0).tick(readings(pole_angle=0.3))
    assert tick.command == 0.0 and tick.termination_reason == "the pole fell"
    assert tick.transition is None


def test_time_limit_truncates_and_does_not_terminate() -> None:
    control_loop = loop(1.0, max_episode_steps=2)
    control_loop.tick(readings())
    second, third = control_loop.tick(readings()), control_loop.tick(readings())
    assert second.transition is not None and not second.transition.truncated
    assert third.transition is not None and third.transition.truncated
    assert not third.transition.terminated and third.command == 0.0


def test_without_a_time_limit_the_episode_goes_on() -> None:
    control_loop = loop(max_episode_steps=None)
    ticks = [control_loop.tick(readings()) for _ in range(PENDULUM.max_episode_steps + 2)]
    assert not any(tick.transition.truncated for tick in ticks if tick.transition)


def test_new_episode_does_not_continue_the_old_one() -> None:
    control_loop = loop()
    control_loop.tick(readings())
    control_loop.tick(readings())
    control_loop.start_episode()
    assert control_loop.tick(readings()).transition is None
    transition = control_loop.tick(readings()).transition
    assert transition is not None and (transition.episode, transition.step) == (1, 0)


def test_action_that_is_not_finite_becomes_the_safe_command() -> None:
    tick = loop(np.nan).tick(readings())
    assert tick.refusal is not None and "not finite" in tick.refusal and tick.command == 0.0


def test_action_is_blended_in_over_the_fade_and_recorded_as_executed() -> None:
    control_loop = ControlLoop(PENDULUM, lambda obs: np.array([1.0]), None, fade_in_s=0.16)
    ticks = [control_loop.tick(readings()) for _ in range(6)]
    commands = [float(tick.command[0]) for tick in ticks]
    assert commands == pytest.approx([75.0, 150.0, 225.0, 300.0, 300.0, 300.0])
    actions = [float(tick.transition.action[0]) for tick in ticks[1:] if tick.transition]
    assert actions == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_after_a_reaction_a_new_episode_goes_on_from_the_command_in_force() -> None:
    spec = replace(PENDULUM.action, rate_limit=(1500.0,), on_fault="ramp", ramp_s=2.0)
    control_loop = loop(1.0, task=replace(PENDULUM, action=spec))
    for _ in range(5):
        control_loop.tick(readings())
    # The whole range of 600 N in 2 s: 12 N a period.
    assert control_loop.react() == pytest.approx(288.0)
    assert control_loop.react() == pytest.approx(276.0)
    tick = control_loop.tick(readings())
    assert tick.transition is None and tick.command == 300.0


def test_policy_is_vetoed_with_the_users_reason() -> None:
    def veto(command: np.ndarray, readings: dict[str, np.ndarray]) -> str | None:
        return "near the wall" if readings["cart_position"][0] > 0.5 else None

    control_loop = ControlLoop(PENDULUM, lambda obs: np.array([1.0]), None, veto=veto)
    assert control_loop.tick(readings()).command == 300.0
    tick = control_loop.tick(readings(cart_position=0.6))
    assert tick.command == 0.0 and tick.refusal == "near the wall"


def test_refused_reading_takes_no_step() -> None:
    control_loop = loop()
    control_loop.tick(readings())
    with pytest.raises(ObservationError):
        control_loop.tick(readings(pole_angle=np.nan))
    transition = control_loop.tick(readings()).transition
    assert transition is not None and transition.step == 0


@pytest.mark.parametrize("value", [1e39, -1e308])
def test_reading_that_float32_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(ObservationError, match="outside of what its sensor can measure"):
        loop().tick(readings(cart_position=value))


def test_robot_is_left_where_it_is_when_an_episode_of_ramped_positions_ends() -> None:
    spec = replace(PENDULUM.action, kind="position", on_fault="ramp")
    control_loop = loop(1.0, task=replace(PENDULUM, action=spec))
    assert control_loop.tick(readings(cart_position=0.2)).command == 300.0
    assert control_loop.tick(readings(cart_position=0.4, pole_angle=0.3)).command == 0.4


def test_no_command_follows_from_a_reward_reading_that_is_not_finite() -> None:
    cheetah = load_task("half_cheetah")
    good = {reading.name: np.zeros(reading.size) for reading in cheetah.readings}
    control_loop = ControlLoop(cheetah, lambda obs: np.zeros(6), max_episode_steps=None)
    control_loop.tick(good)
    with pytest.raises(ObservationError, match="root_position"):
        control_loop.tick({**good, "root_position": np.array([np.nan])})


def due_stamps(stamps: list[float], period_s: float) -> list[float]:
    pacer = ObservationPacer(period_s)
    return [stamp for stamp in stamps if pacer.is_due(stamp)]


def test_every_fifth_of_a_stream_five_times_as_fast_is_due() -> None:
    stamps = [0.01 * index for index in range(21)]
    assert due_stamps(stamps, 0.05) == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])


def test_jitter_of_a_stream_does_not_become_drift() -> None:
    rng = np.random.default_rng(0)
    stamps = [0.01 * index + rng.uniform(-0.003, 0.003) for index in range(5001)]
    due = due_stamps(stamps, 0.05)
    assert len(due) == 1001
    # One spacing of the stream and the jitter of both ends, after 5 as after 50 s.
    np.testing.assert_allclose(due, due[0] + 0.05 * np.arange(1001), rtol=0.0, atol=0.016)


def test_stream_at_the_control_rate_is_due_every_time() -> None:
    rng = np.random.default_rng(0)
    stamps = [0.05 * index + rng.uniform(-0.01, 0.01) for index in range(1000)]
    assert due_stamps(stamps, 0.05) == stamps


def test_pause_is_not_hurried_after() -> None:
    stamps = [0.0, 0.05, 0.1, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05]
    assert due_stamps(stamps, 0.05) == [0.0, 0.05, 0.1, 1.0, 1.05]


def test_clock_that_is_set_back_does_not_stop_the_stream() -> None:
    assert due_stamps([5.0, 5.05, 1.0, 1.01, 1.05], 0.05) == [5.0, 5.05, 1.0, 1.05]
