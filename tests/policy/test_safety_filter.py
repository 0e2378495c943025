from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.policy.safety_filter import SafetyFilter
from sac_ros.task.task_spec import ActionSpec

SPEC = ActionSpec(
    topic="command",
    type="std_msgs/msg/Float64MultiArray",
    kind="effort",
    joints=("a", "b"),
    unit="N m",
    low=(-1.0, 0.5),
    high=(2.0, 3.0),
    safe_command=(0.0, 0.5),
    rate_limit=(5.0, 20.0),
    low_pass_hz=8.0,
)
PERIOD_S = 0.01
anything = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True, width=64)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=30))
def test_every_command_is_finite_and_within_limits_and_rate(
    requests: list[tuple[float, float]],
) -> None:
    safety_filter = SafetyFilter(SPEC, PERIOD_S)
    last = np.array(SPEC.safe_command)
    for request in requests:
        faults = safety_filter.counts.non_finite
        command = safety_filter.apply(np.array(request))
        assert np.isfinite(command).all()
        assert (command >= SPEC.low).all() and (command <= SPEC.high).all()
        if safety_filter.counts.non_finite == faults:
            assert (np.abs(command - last) <= np.array(SPEC.rate_limit) * PERIOD_S + 1e-12).all()
        else:
            np.testing.assert_array_equal(command, SPEC.safe_command)
        last = command


def test_request_within_all_bounds_passes_unchanged_and_uncounted() -> None:
    safety_filter = SafetyFilter(replace(SPEC, rate_limit=None, low_pass_hz=None), PERIOD_S)
    np.testing.assert_array_equal(safety_filter.apply(np.array([1.7, 2.9])), [1.7, 2.9])
    counts = safety_filter.counts
    assert (counts.non_finite, counts.clipped, counts.rate_limited) == (0, 0, 0)


def test_each_stage_counts_when_it_acts() -> None:
    safety_filter = SafetyFilter(replace(SPEC, low_pass_hz=None), PERIOD_S)
    safety_filter.apply(np.array([0.01, 0.6]))  # nothing to do
    safety_filter.apply(np.array([0.01, 0.4]))  # below low
    safety_filter.apply(np.array([1.0, 0.5]))  # too fast
    safety_filter.apply(np.array([np.nan, 0.5]))
    counts = safety_filter.counts
    assert (counts.clipped, counts.rate_limited, counts.non_finite) == (1, 1, 1)


def test_low_pass_reaches_63_percent_after_one_time_constant() -> None:
    spec = replace(SPEC, rate_limit=None, low_pass_hz=1.0 / (2.0 * np.pi * 0.1))
    safety_filter = SafetyFilter(spec, PERIOD_S)
    for _ in range(10):  # 0.1 s
        command = safety_filter.apply(np.array([1.0, 0.5]))
    assert command[0] == pytest.approx(1.0 - np.exp(-1.0), rel=1e-9)


def test_reset_starts_again_from_the_safe_command() -> None:
    safety_filter = SafetyFilter(replace(SPEC, low_pass_hz=None), PERIOD_S)
    for _ in range(100):
        safety_filter.apply(np.array([2.0, 3.0]))
    safety_filter.reset()
    np.testing.assert_allclose(safety_filter.apply(np.array([2.0, 3.0])), [0.05, 0.7])
