"""A short form of benchmarks.faults.message_fuzzing: no damaged message crashes a node."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")


from benchmarks.faults.garbage_over_dds import send_garbage
from benchmarks.faults.garbage_to_learner import send_garbage_to_learner
from benchmarks.faults.message_fuzzers import BATCH_KINDS, judge_batch
from benchmarks.faults.message_fuzzing import CLEAN
from sac_ros.policy.updates.policy_status import PolicyStatus, PolicyStatusError

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("kind", BATCH_KINDS)
def test_no_damaged_message_is_used_or_crashes_its_handler(kind: str) -> None:
    counts = judge_batch(kind, 0, range(1500))
    assert set(counts) <= CLEAN, counts
    assert counts["refused"] > 100 and counts["unreadable"] > 50


@pytest.mark.parametrize(
    "change",
    [
        '"baseline_return": NaN',
        '"bound": Infinity',
        '"version": -1',
        f'"version": {10**30}',
        '"bad_versions": [-3]',
    ],
)
def test_status_with_a_number_that_is_none_is_refused(change: str) -> None:
    name = change.split(":")[0]
    good = PolicyStatus(version=1, good_version=1, baseline_return=1.0, bound=1.0).to_json()
    start = good.index(name)
    end = good.index(",", start)
    with pytest.raises(PolicyStatusError, match=r"count|finite"):
        PolicyStatus.from_json(good[:start] + change + good[end:])


@pytest.mark.parametrize("duration_s", [1.0, pytest.param(5.0, marks=pytest.mark.long)])
def test_garbage_over_dds_neither_ends_the_node_nor_moves_the_robot_unsafely(
    tmp_path: Path, duration_s: float
) -> None:
    result = send_garbage(tmp_path, duration_s, seed=3)
    assert result.is_alive and result.unsafe_commands == 0, result
    assert all(np.array(list(result.sent.values())) > 0), result.sent


@pytest.mark.long
def test_garbage_over_dds_neither_ends_the_learner_nor_its_learning(tmp_path: Path) -> None:
    result = send_garbage_to_learner(tmp_path, 5.0, seed=3)
    assert result.is_alive and result.refused > 20 and result.updates > 0, result
    assert result.losses and np.isfinite(list(result.losses.values())).all(), result
