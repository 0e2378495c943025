"""Two minutes of the hour whose figures are in docs/results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_process import run_benchmark

from benchmarks.control.memory_watch import growth
from benchmarks.control.scheduling_stalls import merged, stalled_ns

# What is left after so short a warm-up is a few hundredths; a fifth in a minute would be a leak.
SHORT_GROWTH = 0.2


@pytest.mark.ros
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium")
def test_nothing_grows_fast_and_the_watchdog_sees_every_missed_tick(tmp_path: Path) -> None:
    run_benchmark(
        "benchmarks.control.endurance",
        *("--minutes", "2", "--warm-up-s", "60"),
        *("--no-record", "--no-compiled", "--out", str(tmp_path)),
    )
    summary: dict[str, Any] = json.loads((tmp_path / "summary.json").read_text())
    missed, learner = summary["missed_ticks"], summary["learner"]
    # How many are missed is this machine's doing; that none is missed unseen is ours.
    assert missed["unseen"] == 0 and missed["observed"] <= missed["counted"]
    assert missed["num_commands"] > 0 and learner["policies_sent"] >= 1
    assert learner["seconds_without_an_update_owed"] == 0
    for process_name, grown in summary["memory_growth"].items():
        assert grown["share"] <= SHORT_GROWTH, process_name
    assert (tmp_path / "timeline.csv").exists() and (tmp_path / "endurance.png").exists()


def test_growth_is_of_what_stays_and_not_of_what_comes_and_goes() -> None:
    times_s = np.arange(1000.0)
    peaks = np.where(times_s % 30.0 < 3.0, 20.0, 0.0)
    assert growth(times_s, 100.0 + peaks).share == 0.0
    leak = growth(times_s, 100.0 + peaks + 0.01 * times_s)
    # From the middle of the first tenth to the middle of the last.
    assert leak.share == pytest.approx(0.01 * 900.0 / 100.5, rel=0.02)
    assert leak.mib_per_hour == pytest.approx(36.0, rel=0.01)


def test_time_of_stalls_is_counted_once_and_only_where_it_lies() -> None:
    # Two cores: the second span overlaps the first, the third lies within the fourth.
    spans = merged([(15, 30), (10, 20), (55, 57), (50, 60)])
    np.testing.assert_array_equal(spans, [[10, 30], [50, 60]])
    begins, ends = np.array([[0, 5], [0, 15], [12, 18], [25, 55], [31, 49], [0, 100]]).T
    np.testing.assert_array_equal(stalled_ns(spans, begins, ends), [0, 5, 6, 10, 0, 30])
    np.testing.assert_array_equal(stalled_ns(merged([]), begins, ends), np.zeros(6))
