from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.policy.limiter_stages import EXEMPTIONS, Request, Stage, stages
from sac_ros.policy.safety_filter import SafetyFilter
from sac_ros.task.action_spec import ActionSpec
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.task_spec import TaskSpec, load_task

ARM = load_task("two_joint_arm")
JOINTS = ("shoulder", "elbow")
SPEC = ActionSpec(
    topic="command",
    type="std_msgs/msg/Float64MultiArray",
    kind="effort",
    joints=JOINTS,
    unit="N m",
    low=(-1.0, 0.5),
    high=(2.0, 3.0),
    safe_command=(0.0, 0.5),
    rate_limit=(5.0, 20.0),
    low_pass_hz=8.0,
)
PERIOD_S = 0.01
REACTIONS: list[dict[str, Any]] = [
    {"on_fault": "safe_command"},
    {"on_fault": "ramp", "ramp_s": 0.3},
    {"on_fault": "damp", "damping": (0.4, 0.1)},
    {"on_fault": "deactivate"},
    {"on_fault": "hold", "kind": "position"},
    {"on_fault": "ramp", "kind": "position"},
    {"on_fault": "ramp", "kind": "velocity"},
]
POSITION_FAULTS = ("hold", "ramp", "safe_command", "deactivate")
MAX_CHANGE = np.array(SPEC.rate_limit) * PERIOD_S
anything = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True, width=64)
state = st.floats(-10.0, 10.0)
steps = st.lists(
    st.tuples(anything, anything, state, state, st.booleans()), min_size=1, max_size=30
)


def task_of(spec: ActionSpec) -> TaskSpec:
    return replace(ARM, action=spec, control_period_s=PERIOD_S)


def readings(position: float = 0.0, velocity: float = 0.0) -> dict[str, np.ndarray]:
    """The same for both joints."""
    return {
        "joint_angles": np.full(2, position),
        "joint_velocities": np.full(2, velocity),
    }


def reacted(safety_filter: SafetyFilter, known: dict[str, Any] | None = None) -> np.ndarray:
    command = safety_filter.react(known)
    assert command is not None
    return command


def stopped(safety_filter: SafetyFilter, known: dict[str, Any] | None = None) -> np.ndarray:
    command = safety_filter.stop(known)
    assert command is not None
    return command


def apply(safety_filter: SafetyFilter, *request: float, **state: float) -> np.ndarray:
    return safety_filter.apply(np.array(request), readings(**state))


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda r: "-".join(map(str, r.values())))
@settings(max_examples=100, deadline=None)
@given(steps)
def test_every_command_is_finite_and_within_limits_and_rate(
    reaction: dict[str, Any], sequence: list[tuple[float, float, float, float, bool]]
) -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, **reaction)))
    last = apply(safety_filter, *SPEC.safe_command)
    for first, second, position, velocity, is_fault in sequence:
        if is_fault:
            command = reacted(safety_filter, readings(position, velocity))
        else:
            command = apply(safety_filter, first, second, position=position, velocity=velocity)
        assert np.isfinite(command).all()
        assert (command >= SPEC.low).all() and (command <= SPEC.high).all()
        jumps = is_fault or safety_filter.refusal is not None
        if not jumps or reaction["on_fault"] in ("ramp", "hold"):
            assert (np.abs(command - last) <= np.array(SPEC.rate_limit) * PERIOD_S + 1e-12).all()
        last = command


@settings(max_examples=200, deadline=None)
@given(steps, st.sampled_from(["position", "velocity", "effort"]))
def test_no_command_passes_a_joint_limit(
    sequence: list[tuple[float, float, float, float, bool]], kind: str
) -> None:
    limits = tuple(
        JointLimit(joint=joint, position=(-2.0, 2.0), velocity=3.0, effort=0.8) for joint in JOINTS
    )
    bounds = {"low": (-5.0, -5.0), "high": (5.0, 5.0), "safe_command": (0.0, 0.0)}
    spec = replace(SPEC, kind=kind, joint_limits=limits, **bounds)
    safety_filter = SafetyFilter(task_of(spec))
    last = safety_filter.last
    for first, second, position, velocity, _ in sequence:
        command = apply(safety_filter, first, second, position=position, velocity=velocity)
        assert np.isfinite(command).all()
        if kind == "position":
            assert (np.abs(command) <= 2.0).all()
            assert (np.abs(command - last) <= 3.0 * PERIOD_S + 1e-12).all()
        elif kind == "velocity":
            assert (np.abs(command) <= 3.0).all()
            if abs(position) <= 2.0:  # not carried out of its range within the period
                assert (np.abs(position + command * PERIOD_S) <= 2.0 + 1e-9).all()
        else:
            assert (np.abs(command) <= 0.8).all()
            if abs(velocity) > 3.0:  # no effort that makes it faster still
                assert (command * np.sign(velocity) <= 0.0).all()
        last = command


def test_request_within_all_bounds_passes_unchanged_and_uncounted() -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, rate_limit=None, low_pass_hz=None)))
    np.testing.assert_array_equal(apply(safety_filter, 1.7, 2.9), [1.7, 2.9])
    counts = safety_filter.counts
    assert counts.applied == 1
    assert (counts.non_finite, counts.clipped, counts.rate_limited, counts.smoothed) == (0,) * 4
    assert (counts.joint_limited, counts.vetoed, counts.reactions) == (0,) * 3


def test_each_stage_counts_when_it_acts() -> None:
    limits = (JointLimit(joint="shoulder", velocity=1.0),)
    spec = replace(SPEC, low_pass_hz=None, joint_limits=limits)
    safety_filter = SafetyFilter(
        task_of(spec), veto=lambda command, readings: "no" if command[1] > 0.65 else None
    )
    apply(safety_filter, 0.01, 0.6)  # nothing to do
    apply(safety_filter, 0.01, 0.4)  # below low
    apply(safety_filter, 1.0, 0.5)  # too fast a change
    apply(safety_filter, 0.02, 0.5, velocity=1.1)  # too fast a joint
    apply(safety_filter, np.nan, 0.5)
    apply(safety_filter, 0.0, 0.7)  # vetoed
    safety_filter.react()
    counts = safety_filter.counts
    assert (counts.clipped, counts.rate_limited, counts.non_finite) == (1, 1, 1)
    assert (counts.joint_limited, counts.vetoed, counts.smoothed) == (1, 1, 0)
    assert (counts.applied, counts.reactions) == (6, 3)


def test_low_pass_reaches_63_percent_after_one_time_constant() -> None:
    spec = replace(SPEC, rate_limit=None, low_pass_hz=1.0 / (2.0 * np.pi * 0.1))
    safety_filter = SafetyFilter(task_of(spec))
    for _ in range(10):  # 0.1 s
        command = apply(safety_filter, 1.0, 0.5)
    assert command[0] == pytest.approx(1.0 - np.exp(-1.0), rel=1e-9)
    assert safety_filter.counts.smoothed == 10


def test_reset_starts_again_from_the_safe_command() -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, low_pass_hz=None)))
    for _ in range(100):
        apply(safety_filter, 2.0, 3.0)
    safety_filter.reset(readings(position=1.0))
    np.testing.assert_allclose(apply(safety_filter, 2.0, 3.0), [0.05, 0.7])


def test_commanded_position_starts_from_where_the_robot_is() -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, kind="position", low_pass_hz=None)))
    safety_filter.reset(readings(position=1.0))
    np.testing.assert_allclose(apply(safety_filter, 2.0, 3.0), [1.05, 1.2])


def test_joint_at_its_end_may_only_be_pushed_back() -> None:
    limits = (JointLimit(joint="shoulder", position=(-1.0, 1.0)),)
    spec = replace(SPEC, rate_limit=None, low_pass_hz=None, joint_limits=limits)
    safety_filter = SafetyFilter(task_of(spec))
    assert apply(safety_filter, 2.0, 3.0, position=0.9)[0] == 2.0
    assert apply(safety_filter, 2.0, 3.0, position=1.0)[0] == 0.0
    assert apply(safety_filter, -1.0, 3.0, position=1.0)[0] == -1.0
    np.testing.assert_array_equal(apply(safety_filter, 2.0, 3.0, position=1.0), [0.0, 3.0])


@pytest.mark.parametrize("kind", ["velocity", "effort"])
@pytest.mark.parametrize("position", [-1.2, -1.0, 1.0, 1.2])
def test_joint_beyond_its_range_stays_at_rest_until_it_is_asked_back(
    kind: str, position: float
) -> None:
    limits = (JointLimit(joint="shoulder", position=(-1.0, 1.0)),)
    bounds = {"low": (-5.0, 0.0), "high": (5.0, 3.0), "safe_command": (0.0, 0.0)}
    spec = replace(
        SPEC, kind=kind, rate_limit=None, low_pass_hz=None, joint_limits=limits, **bounds
    )
    safety_filter = SafetyFilter(task_of(spec))
    for asked, executed in ((0.0, 0.0), (position, 0.0), (-position, -position)):
        command = apply(safety_filter, asked, 0.0, position=position)
        assert command[0] == executed


def test_damping_opposes_the_measured_velocity_and_is_safe_without_one() -> None:
    spec = replace(SPEC, on_fault="damp", damping=(0.5, 0.0), low=(-1.0, -3.0))
    safety_filter = SafetyFilter(task_of(spec))
    np.testing.assert_allclose(safety_filter.react(readings(velocity=-1.2)), [0.6, 0.0])
    np.testing.assert_allclose(safety_filter.react(readings(velocity=100.0)), [-1.0, 0.0])
    np.testing.assert_allclose(safety_filter.react(readings(velocity=np.nan)), SPEC.safe_command)
    np.testing.assert_allclose(safety_filter.react(), SPEC.safe_command)


@pytest.mark.parametrize(
    ("change", "last_command"),
    [
        *(({"on_fault": on_fault, "kind": "position"}, [1.0, 1.0]) for on_fault in POSITION_FAULTS),
        ({"on_fault": "ramp", "kind": "effort"}, [0.0, 0.5]),
        ({"on_fault": "ramp", "kind": "velocity"}, [0.0, 0.5]),
    ],
)
def test_robot_is_left_with_the_safe_command_or_where_it_is(
    change: dict[str, Any], last_command: list[float]
) -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, **change, rate_limit=None)))
    safety_filter.reset(readings(position=0.9))
    for _ in range(200):
        apply(safety_filter, 1.0, 1.0)
    np.testing.assert_allclose(stopped(safety_filter), last_command)
    np.testing.assert_allclose(stopped(safety_filter, readings(position=1.0)), last_command)


@pytest.mark.parametrize("on_fault", POSITION_FAULTS)
def test_position_that_nothing_of_ours_holds_is_left_and_reacted_from_where_it_is(
    on_fault: str,
) -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, kind="position", on_fault=on_fault)))
    np.testing.assert_allclose(stopped(safety_filter, readings(position=1.2)), [1.2, 1.2])
    safety_filter.let_go()  # and somebody else moves it
    np.testing.assert_allclose(stopped(safety_filter, readings(position=0.7)), [0.7, 0.7])
    safety_filter.let_go()
    command = reacted(safety_filter, readings(position=1.9))
    assert (np.abs(command - 1.9) <= MAX_CHANGE + 1e-12).all()


@pytest.mark.parametrize(("lag", "left"), [(0.02, 1.0), (0.5, 0.55)])
def test_last_command_is_within_one_periods_motion_from_the_robot(lag: float, left: float) -> None:
    spec = replace(SPEC, kind="position", rate_limit=(5.0, 5.0), low_pass_hz=None)
    safety_filter = SafetyFilter(task_of(spec))
    safety_filter.reset(readings(position=1.0))
    apply(safety_filter, 1.0, 1.0)
    command = stopped(safety_filter, readings(position=1.0 - lag))
    np.testing.assert_allclose(command, [left, left])


def test_nothing_is_sent_to_a_position_that_is_not_known_or_cannot_be_held() -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, kind="position")))
    unknown = {"joint_velocities": np.zeros(2)}
    for known in ({}, unknown):
        assert safety_filter.stop(known) is None and safety_filter.react(known) is None
        assert "not known" in str(safety_filter.why_silent(known))
    beyond = readings(position=2.2)  # the range of the shoulder ends at 2.0
    assert safety_filter.stop(beyond) is None
    assert "'shoulder' is at 2.200" in str(safety_filter.why_silent(beyond))
    # Half a period's motion beyond is reached without a jump.
    near = {**beyond, "joint_angles": np.array([2.02, 1.0])}
    np.testing.assert_allclose(stopped(safety_filter, near), [2.0, 1.0])


def test_position_that_the_task_does_not_read_is_left_alone_unless_it_is_commanded() -> None:
    task = task_of(replace(SPEC, kind="position"))
    blind = replace(task, observation=task.observation[1:], reward=(), termination=())
    safety_filter = SafetyFilter(blind)
    readings = {"joint_velocities": np.zeros(2)}
    assert safety_filter.stop(readings) is None
    assert "reads no position of ['shoulder', 'elbow']" in str(safety_filter.why_silent(readings))
    command = safety_filter.apply(np.array([1.0, 1.0]), readings)
    np.testing.assert_array_equal(stopped(safety_filter, readings), command)


@pytest.mark.parametrize("kind", ["velocity", "effort"])
@pytest.mark.parametrize("on_fault", ["ramp", "safe_command"])
def test_reaction_keeps_the_joint_limits_that_the_policy_keeps(kind: str, on_fault: str) -> None:
    limits = (JointLimit(joint="shoulder", position=(-1.0, 1.0)),)
    bounds = {"low": (-5.0, -5.0), "high": (5.0, 5.0), "safe_command": (0.5, 0.5)}
    changes = {"kind": kind, "on_fault": on_fault, "ramp_s": 3.0, "joint_limits": limits}
    spec = replace(SPEC, rate_limit=None, low_pass_hz=None, **changes, **bounds)
    safety_filter = SafetyFilter(task_of(spec))
    apply(safety_filter, 2.0, 2.0)
    assert (reacted(safety_filter, readings(position=0.9))[1]) > 0.0
    command = reacted(safety_filter, readings(position=1.0))
    assert command[0] == 0.0 and command[1] > 0.0
    assert stopped(safety_filter, readings(position=1.0))[0] == 0.0
    # What is not known cannot bound: the other joint's position holds all the same.
    only_elbow = {"joint_angles": np.array([np.nan, 0.0])}
    assert reacted(safety_filter, only_elbow)[0] > 0.0


@pytest.mark.parametrize("on_fault", POSITION_FAULTS)
def test_reaction_of_a_position_keeps_its_rate(on_fault: str) -> None:
    spec = replace(SPEC, kind="position", on_fault=on_fault, low_pass_hz=None)
    safety_filter = SafetyFilter(task_of(spec))
    safety_filter.reset(readings(position=1.9))
    last = apply(safety_filter, 1.9, 1.9)
    for _ in range(100):
        command = reacted(safety_filter)
        assert (np.abs(command - last) <= MAX_CHANGE + 1e-12).all()
        last = command
    ends_at = {"safe_command": [0.0, 0.5]}.get(on_fault)
    if ends_at is not None:
        np.testing.assert_allclose(last, ends_at)


def test_no_request_is_exempt_from_finite_range_and_joint_limits() -> None:
    kept = {Stage.FINITE, Stage.RANGE, Stage.JOINT_LIMITS}
    for kind in ("position", "velocity", "effort"):
        assert stages(Request.ACTION, kind) == set(Stage)
        for request in Request:
            assert stages(request, kind) >= kept
    assert Stage.RATE in stages(Request.REACTION, "position")
    assert all(len(exemption.reason.split()) > 3 for exemption in EXEMPTIONS)


def test_limits_are_only_ever_tightened() -> None:
    own = (JointLimit(joint="shoulder", effort=0.5),)
    spec = replace(SPEC, rate_limit=None, low_pass_hz=None, joint_limits=own)
    safety_filter = SafetyFilter(task_of(spec))
    safety_filter.tighten((JointLimit(joint="shoulder", effort=9.0),))
    assert apply(safety_filter, 2.0, 1.0)[0] == 0.5
    safety_filter.tighten((JointLimit(joint="shoulder", effort=0.2),))
    assert apply(safety_filter, 2.0, 1.0)[0] == 0.2


def test_limits_that_leave_no_command_are_refused_and_change_nothing() -> None:
    safety_filter = SafetyFilter(task_of(replace(SPEC, rate_limit=None, low_pass_hz=None)))
    with pytest.raises(ValueError, match="leave no effort"):
        safety_filter.tighten((JointLimit(joint="elbow", effort=0.3),))
    np.testing.assert_array_equal(apply(safety_filter, 1.7, 2.9), [1.7, 2.9])


def test_limit_that_no_reading_allows_to_enforce_is_named() -> None:
    limits = (JointLimit(joint="elbow", position=(-1.0, 1.0), velocity=2.0, effort=9.0),)
    task = task_of(replace(SPEC, joint_limits=limits))
    assert SafetyFilter(task).limiter.unenforceable == ()
    blind = replace(task, observation=task.observation[:1], termination=())
    assert SafetyFilter(blind).limiter.unenforceable == ("velocity limit of 'elbow'",)


@pytest.mark.parametrize(
    "decide",
    [lambda f: apply(f, 2.0, 3.0), lambda f: f.react(), lambda f: f.stop()],
    ids=["policy", "reaction", "end"],
)
def test_command_that_came_too_late_to_be_sent_is_forgotten(
    decide: Callable[[SafetyFilter], np.ndarray],
) -> None:
    safety_filter = SafetyFilter(task_of(SPEC))
    for _ in range(2):
        sent = apply(safety_filter, 2.0, 3.0)
    assert (decide(safety_filter) != sent).any()
    safety_filter.take_back()
    assert (safety_filter.last == sent).all()
