import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.nodes.messages.stamp_order import CLOCK_DRIFT, StampOrder

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


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80),
    st.lists(st.floats(0.001, 0.5), min_size=80, max_size=80),
    st.floats(-1e6, 1e6),
)
def test_no_queue_gets_older_data_accepted_than_it_is_allowed_to_delay(
    delays_s: list[float], intervals_s: list[float], offset_s: float
) -> None:
    """First in, first out, but for that as adversarial as it likes; the clocks are perfect."""
    order = make_order()
    sent_s = arrival_s = credit_s = 0.0
    least_s = np.inf
    for delay_s, interval_s in zip(delays_s, intervals_s, strict=False):
        sent_s += interval_s
        arrival_s = max(arrival_s + 1e-6, sent_s + delay_s)
        age_s = arrival_s - sent_s
        least_s = min(least_s, age_s)
        credit_s += CLOCK_DRIFT * min(interval_s + age_s, MAX_DELAY_S)
        if order.refusal(offset_s + sent_s, arrival_s) is None:
            assert age_s <= least_s + MAX_DELAY_S + credit_s + 1e-6


@pytest.mark.parametrize("hold_s", [0.12, 1.0, 30.0])
def test_network_that_holds_messages_back_is_not_believed_however_long_it_does(
    hold_s: float,
) -> None:
    quick = [(0.01 * i, 0.01 * i) for i in range(100)]
    held = [(1.0 + 0.1 * i, 1.0 + hold_s + 0.1 * i) for i in range(36_000)]  # an hour
    verdicts = accepted([*quick, *held])
    assert all(verdicts[:100]) and not any(verdicts[100:])


def test_silence_before_messages_are_held_back_makes_them_no_fresher() -> None:
    quick = [(0.01 * i, 0.01 * i) for i in range(100)]
    held = [(3600.0 + 0.01 * i, 3601.0 + 0.01 * i) for i in range(1000)]
    assert not any(accepted([*quick, *held])[100:])


@pytest.mark.parametrize("growth", [0.003, 0.1, 0.5, 2.0])
def test_queue_that_delivers_ever_older_data_is_refused_before_it_is_much_too_old(
    growth: float,
) -> None:
    """`growth` in s a second; 0.5 is also what a simulation at 2/3 of real time looks like."""
    messages = [(0.01 * i, 0.01 * i * (1.0 + growth)) for i in range(20_000)]
    verdicts = accepted(messages)
    ages_s = np.array([arrival_s - stamp_s for stamp_s, arrival_s in messages])
    allowed_s = MAX_DELAY_S * growth / (growth - CLOCK_DRIFT) + 0.01
    first = verdicts.index(False)
    assert MAX_DELAY_S < ages_s[first] <= allowed_s + 0.01 * growth
    assert not any(verdicts[first:])


def test_driver_that_stood_still_is_believed_at_once_as_its_clock_went_on() -> None:
    before = [(0.01 * i, 0.01 * i) for i in range(100)]
    after = [(5.0 + 0.01 * i, 5.0 + 0.01 * i) for i in range(100)]
    assert all(accepted([*before, *after]))


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
