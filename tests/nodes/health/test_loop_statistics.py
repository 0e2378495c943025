import gc

import pytest

from sac_ros.nodes.health import loop_statistics
from sac_ros.nodes.health.gc_pauses import GcPauses
from sac_ros.nodes.health.loop_statistics import LoopStatistics, missed_ticks


class Clock:
    """Stands still unless it is moved."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop_statistics, "time", clock)
    return clock


def publish(statistics: LoopStatistics, clock: Clock, at_s: float, takes_s: float = 0.0) -> None:
    clock.now_s = at_s + takes_s
    statistics.note_command(began_s=at_s)


@pytest.mark.parametrize(
    ("periods", "missed"),
    [(0.2, 0), (1.0, 0), (1.49, 0), (1.51, 1), (2.49, 1), (2.51, 2), (10.0, 9)],
)
def test_tick_is_missed_once_it_is_more_than_half_a_period_late(
    periods: float, missed: int
) -> None:
    assert missed_ticks(periods * 0.01, 0.01) == missed


def test_missed_ticks_add_up_over_reports(clock: Clock) -> None:
    statistics = LoopStatistics(0.01)
    for at_s in (0.0, 0.01, 0.03, 0.04, 0.08):
        publish(statistics, clock, at_s)
        statistics.report()
    assert statistics.num_missed == 1 + 3


def test_whoever_stamps_a_command_while_it_is_published_finds_no_more_than_the_node(
    clock: Clock,
) -> None:
    statistics = LoopStatistics(0.01)
    publish(statistics, clock, 0.0, takes_s=0.006)
    publish(statistics, clock, 0.010, takes_s=0.006)
    # Stamped at 0.000 and 0.016, these two are more than one and a half periods apart.
    assert statistics.num_missed == missed_ticks(0.016 - 0.0, 0.01) == 1


def test_silence_that_is_meant_is_no_missed_tick(clock: Clock) -> None:
    statistics = LoopStatistics(0.01)
    publish(statistics, clock, 0.0)
    statistics.note_silence()
    publish(statistics, clock, 5.0)
    assert statistics.num_missed == 0


def test_time_of_a_simulation_is_not_held_against_the_steady_clock(clock: Clock) -> None:
    statistics = LoopStatistics(0.01, counts_missed=False)
    publish(statistics, clock, 0.0)
    publish(statistics, clock, 5.0)
    assert statistics.num_missed == 0


def test_every_collection_is_timed_until_nobody_asks_any_more() -> None:
    pauses = GcPauses()
    pauses.start()
    before = pauses.report()
    gc.collect()
    gc.collect()
    two = pauses.report()
    assert two.num_collections == before.num_collections + 2
    assert 0.0 < two.pauses.max_ms <= two.longest_ms
    assert 0.0 < two.longest_work_ms < 2.0 * two.longest_ms
    pauses.stop()
    gc.collect()
    after = pauses.report()
    assert after.num_collections == two.num_collections and after.pauses.max_ms == 0.0
