"""Observation, action, reward, termination and transition: what happens to the numbers."""

from dataclasses import replace

import numpy as np
import pytest

from sac_ros.task.action import ActionScaling
from sac_ros.task.observation import ObservationBuilder, ObservationError
from sac_ros.task.reward import RewardFunction, Step
from sac_ros.task.task_spec import Channel, RewardTerm, TaskSpec, TerminationTerm, load_task
from sac_ros.task.termination import TerminationRule
from sac_ros.task.transition import (
    HEADER,
    Transition,
    TransitionError,
    columns,
    new_session,
    pack,
    pack_with_stamps,
    packed_layout,
    unpack,
    unpack_labelled,
    unpack_with_stamps,
)


def channel(name: str, size: int, **changes: object) -> Channel:
    return Channel(
        name=name,
        topic="t",
        type="std_msgs/msg/Float64MultiArray",
        field="data",
        size=size,
        unit="m",
        **changes,  # type: ignore[arg-type]
    )


def test_observation_clips_in_units_before_it_scales() -> None:
    builder = ObservationBuilder((channel("a", 2, clip=(-4.0, 4.0), scale=2.0), channel("b", 1)))
    obs = builder.build({"b": np.array([7.0]), "a": np.array([-10.0, 3.0])})
    np.testing.assert_array_equal(obs, np.array([-2.0, 1.5, 7.0], dtype=np.float32))


def test_history_holds_the_oldest_first_and_starts_as_if_at_rest() -> None:
    builder = ObservationBuilder((channel("a", 2, history=3),))
    first = builder.build({"a": np.array([1.0, 2.0])})
    second = builder.build({"a": np.array([3.0, 4.0])})
    builder.reset()
    after_reset = builder.build({"a": np.array([5.0, 6.0])})
    np.testing.assert_array_equal(first, [1, 2, 1, 2, 1, 2])
    np.testing.assert_array_equal(second, [1, 2, 1, 2, 3, 4])
    np.testing.assert_array_equal(after_reset, [5, 6, 5, 6, 5, 6])


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        ({}, "no values"),
        ({"a": np.zeros(3)}, "shape"),
        ({"a": np.array([0.0, np.nan])}, "not finite"),
        ({"a": np.array([np.inf, 0.0])}, "not finite"),
    ],
)
def test_unusable_reading_is_refused_by_name(readings: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(ObservationError, match=f"'a'.*{reason}|{reason}.*'a'"):
        ObservationBuilder((channel("a", 2),)).build(readings)


def test_refused_reading_leaves_every_history_as_it_was() -> None:
    builder = ObservationBuilder((channel("a", 1, history=2), channel("b", 1)))
    builder.build({"a": np.array([1.0]), "b": np.array([0.0])})
    with pytest.raises(ObservationError):
        builder.build({"a": np.array([2.0]), "b": np.array([np.nan])})
    obs = builder.build({"a": np.array([3.0]), "b": np.array([0.0])})
    np.testing.assert_array_equal(obs, [1, 3, 0])


def test_action_limits_map_to_command_limits_and_back() -> None:
    spec = replace(
        load_task("hopper").action,
        low=(-1.0, 0.0, 2.0),
        high=(3.0, 8.0, 4.0),
        safe_command=(0.0, 0.0, 2.0),
    )
    scaling = ActionScaling(spec)
    np.testing.assert_array_equal(scaling.to_command(np.full(3, -1.0)), [-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(scaling.to_command(np.full(3, 1.0)), [3.0, 8.0, 4.0])
    action = np.array([-0.3, 0.1, 0.9])
    np.testing.assert_allclose(scaling.to_action(scaling.to_command(action)), action, rtol=1e-15)


def task_with(reward: tuple[RewardTerm, ...] = (), **changes: object) -> TaskSpec:
    return replace(
        load_task("hopper"),
        observation=(channel("position", 1), channel("angle", 2)),
        reward_readings=(),
        reward=reward,
        **{"termination": (), **changes},
    )


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (RewardTerm(term="alive", weight=3.0), 3.0),
        (RewardTerm(term="forward_velocity", weight=2.0, reading="position"), 2.0 * 0.5 / 0.008),
        (RewardTerm(term="action_squared", weight=-1.0), -(0.25 + 1.0)),
        (RewardTerm(term="action_rate_squared", weight=-1.0), -(0.25 + 4.0)),
        (
            RewardTerm(term="error_squared", weight=-1.0, reading="angle", target=(1.0, 1.0)),
            -(1.0 + 4.0),
        ),
    ],
)
def test_reward_term_is_what_its_name_says(term: RewardTerm, expected: float) -> None:
    step = Step(
        before={"position": np.array([1.0]), "angle": np.array([9.0, 9.0])},
        after={"position": np.array([1.5]), "angle": np.array([2.0, 3.0])},
        action=np.array([0.5, 1.0]),
        previous_action=np.array([0.0, -1.0]),
        terminated=False,
    )
    function = RewardFunction(task_with((term,)))
    assert function(step) == pytest.approx(expected, rel=1e-12)
    assert function.by_term(step) == {term.term: pytest.approx(expected)}


def test_step_that_terminates_is_not_alive() -> None:
    step = Step(
        before={}, after={}, action=np.zeros(1), previous_action=np.zeros(1), terminated=True
    )
    assert RewardFunction(task_with((RewardTerm(term="alive", weight=1.0),)))(step) == 0.0


@pytest.mark.parametrize(
    ("angle", "reason"),
    [([0.0, 0.0], None), ([0.0, 1.1], "fell"), ([-1.1, 0.0], "fell"), ([0.0, 1.0], "fell")],
)
def test_any_entry_outside_of_the_range_ends_the_episode(
    angle: list[float], reason: str | None
) -> None:
    term = TerminationTerm(reading="angle", low=-1.0, high=1.0, why="fell")
    rule = TerminationRule(task_with(termination=(term,)))
    readings = {"position": np.zeros(1), "angle": np.array(angle)}
    assert rule.reason(readings) == reason


def transition() -> Transition:
    return Transition(
        episode=3,
        step=14,
        obs=np.array([0.1, 0.2, 0.3], dtype=np.float32),
        action=np.array([-0.5, 0.25]),
        reward=-1.5,
        next_obs=np.array([1.1, 1.2, 1.3], dtype=np.float32),
        terminated=False,
        truncated=True,
        aborted=True,
        intervention=True,
        policy=12,
    )


def test_transition_survives_packing() -> None:
    original = transition()
    copy = unpack(pack(original), obs_dim=3, action_dim=2)
    for name in HEADER:
        assert getattr(copy, name) == getattr(original, name)
    for name in ("obs", "action", "next_obs"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(original, name))


def test_layout_describes_the_packed_row() -> None:
    row, position = pack(transition()), 0
    parts = {}
    for label, size in packed_layout(obs_dim=3, action_dim=2):
        parts[label] = row[position : position + size]
        position += size
    assert position == len(row)
    assert parts["step"] == 14.0 and parts["truncated"] == 1.0
    np.testing.assert_array_equal(parts["action"], [-0.5, 0.25])


def test_malformed_row_is_refused() -> None:
    row = pack(transition())
    with pytest.raises(TransitionError, match="shape"):
        unpack(row[:-1], obs_dim=3, action_dim=2)
    for value in (np.nan, np.inf, -np.inf):
        row[2] = value
        with pytest.raises(TransitionError, match="not finite"):
            unpack(row, obs_dim=3, action_dim=2)


def test_aborted_row_that_is_not_truncated_is_refused() -> None:
    row = pack(transition())
    row[columns(obs_dim=3, action_dim=2)["truncated"]] = 0.0
    with pytest.raises(TransitionError, match="aborted and not truncated"):
        unpack(row, obs_dim=3, action_dim=2)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("terminated", 0.5),
        ("aborted", 0.5),
        ("truncated", -1.0),
        ("intervention", 2.0),
        ("step", 1.5),
        ("policy", -1.0),
        ("reward", -1.1e7),
        ("obs", 1e30),
        ("next_obs", -1e300),
    ],
)
def test_row_with_an_impossible_number_is_refused(label: str, value: float) -> None:
    row = pack(transition())
    row[columns(obs_dim=3, action_dim=2)[label]] = value
    with pytest.raises(TransitionError, match=label):
        unpack(row, obs_dim=3, action_dim=2)


def test_stamps_follow_the_row_and_come_back() -> None:
    stamped = replace(
        transition(), obs_stamps_s=np.array([1.5, 0.0]), next_obs_stamps_s=np.array([1.6, 0.0])
    )
    row = pack_with_stamps(stamped)
    np.testing.assert_array_equal(row[: len(pack(stamped))], pack(transition()))
    copy = unpack_with_stamps(row, obs_dim=3, action_dim=2)
    assert copy.step == 14
    np.testing.assert_array_equal(copy.obs_stamps_s, [1.5, 0.0])
    np.testing.assert_array_equal(copy.next_obs_stamps_s, [1.6, 0.0])
    assert unpack_with_stamps(pack(stamped), 3, 2).obs_stamps_s.size == 0


@pytest.mark.parametrize("rest", [[1.0], [1.0, np.nan], [0.0] * 4096])
def test_stamps_that_are_none_are_refused(rest: list[float]) -> None:
    with pytest.raises(TransitionError, match="stamps"):
        unpack_with_stamps(np.concatenate([pack(transition()), rest]), 3, 2)


def test_row_from_before_there_were_sessions_is_read_by_its_labels() -> None:
    stamps_s = np.ones(2)
    original = replace(
        transition(), session=7, obs_stamps_s=stamps_s, next_obs_stamps_s=2.0 * stamps_s
    )
    row, labels = pack_with_stamps(original), [*HEADER, "obs", "action", "next_obs"]
    assert unpack_labelled(row, labels, 3, 2).session == 7
    at = HEADER.index("session")
    old_row, old_labels = np.delete(row, at), [label for label in labels if label != "session"]
    copy = unpack_labelled(old_row, old_labels, 3, 2)
    assert copy.session == 0 and copy.policy == original.policy
    np.testing.assert_array_equal(copy.obs, original.obs)
    np.testing.assert_array_equal(copy.next_obs_stamps_s, 2.0 * stamps_s)
    with pytest.raises(TransitionError):
        unpack_labelled(old_row, [], 3, 2)


def test_each_session_has_a_number_of_its_own_that_a_row_can_hold() -> None:
    sessions = {new_session() for _ in range(1000)}
    assert len(sessions) == 1000 and 0 not in sessions
    assert all(int(float(session)) == session for session in sessions)
