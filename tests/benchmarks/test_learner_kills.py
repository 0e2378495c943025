"""A short form of benchmarks.faults.learner_kills: whoever is killed, all goes on undisturbed."""

from pathlib import Path

import pytest

from benchmarks.faults.learner_kills import kill_campaign

pytestmark = [
    pytest.mark.long,
    # The campaign forks on purpose; torch runs one thread in it.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_all_go_on_as_undisturbed(tmp_path: Path, seed: int) -> None:
    run = kill_campaign(tmp_path, num_kills=8, seed=seed)
    assert run.violations == []
    assert sum(count for what, count in run.counts.items() if what.startswith("asked to")) >= 8
