import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.nodes.stamp_order import StampOrder

MAX_DELAY_S = PATIENCE_S = 0.1


def make_order() -> StampOrder:
    return StampOrder(max_delay_s=MAX_DELAY_S, patience_s=PATIENCE_S)


def accepted(messages: list[tuple[float, float]]) -> list[bool]:
    """Judge (stamp, arrival) pairs one after the other."""
    order = make_order()
    return [order.refusal(stamp_s, arrival_s) is None for stamp_s, arrival_s in messages]


@pytest.mark.parametrize("offset_s", [-1e9, -3.0, 0.0, 1e9])
def test_steady_stream_is_accepted_whatever_the_publishers_clock_says(offset_s: float) -> None:
    rng = np.random.default_rng(0)
    messages = [(offset_s + 0.01 * i, 0.01 * i + rng.uniform(0.0, 0.02)) for i in range(1000)]
    assert all(accepted(messages))


def test_clock_that_drifts_as_far_as_ntp_slews_it_is_no_delay() -> None:
    messages = [(0.01 * i * (1.0 - 5e-4), 0.01 * i) for i in range(100_000)]
    assert all(accepted(messages))


@settings(deadline=None)
@given(st.permutations(range(12)))
def test_only_what_is_newer_than_all_before_is_accepted(order: list[int]) -> None:
    stamps = [0.001 * index for index in order]
    expected = [stamp > max(stamps[:i], default=-1.0) for i, stamp in enumerate(stamps)]
    assert accepted([(stamp, 0.01 + 0.001 * i) for i, stamp in enumerate(stamps)]) == expected


def test_message_sent_twice_is_not_fresh_the_second_time() -> None:
    order = make_order()
    assert order.refusal(1.0, 0.0) is None
    for arrival_s in np.arange(0.01, 5.0, 0.01):
        assert order.refusal(1.0, float(arrival_s)) == "sent twice"


def test_messages_that_were_held_up_are_refused_until_they_are_quick_again() -> None:
    quick = [(0.01 * i, 0.01 * i) for i in range(100)]
    late = [(1.0 + 0.01 * i, 1.15 + 0.01 * i) for i in range(100)]
    quick_again = [(2.2 + 0.01 * i, 2.2 + 0.01 * i) for i in range(10)]
    assert accepted([*quick, *late, *quick_again]) == [True] * 100 + [False] * 100 + [True] * 10


def test_delay_within_bounds_is_accepted() -> None:
    messages = [(0.01 * i, 0.01 * i + (0.09 if i >= 50 else 0.0)) for i in range(100)]
    assert all(accepted(messages))


def test_clock_that_is_set_back_is_believed_after_the_patience() -> None:
    before = [(100.0 + 0.01 * i, 0.01 * i) for i in range(10)]
    after = [(3.0 + 0.01 * i, 0.1 + 0.01 * i) for i in range(30)]
    verdicts = accepted([*before, *after])
    assert verdicts[:10] == [True] * 10
    first = verdicts.index(True, 10)
    assert PATIENCE_S <= after[first - 10][1] - after[0][1] < PATIENCE_S + 0.015
    assert all(verdicts[first:]) and not any(verdicts[10:first])


def test_one_stamp_from_the_future_blocks_the_stream_no_longer_than_the_patience() -> None:
    stream = [(0.01 * i, 0.01 * i) for i in range(60)]
    stream[10] = (1e6, 0.1)
    verdicts = accepted(stream)
    assert not any(verdicts[11:20]) and all(verdicts[23:])
