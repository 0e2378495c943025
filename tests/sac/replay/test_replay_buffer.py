import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sac_ros.sac.compute.available_memory import available_memory_bytes
from sac_ros.sac.replay import replay_buffer
from sac_ros.sac.replay.replay_buffer import (
    Batch,
    BufferMemoryError,
    NonFiniteTransitionError,
    ReplayBuffer,
)

OBS_DIM, ACTION_DIM = 3, 2


def add_numbered(buffer: ReplayBuffer, first: int, count: int) -> None:
    """Add transitions whose every entry tells which one it is and which entry."""
    index = np.arange(first, first + count, dtype=np.float32)
    buffer.add(
        obs=index[:, None] + 0.1 * np.arange(OBS_DIM),
        action=-index[:, None] - 0.1 * np.arange(ACTION_DIM),
        reward=10.0 * index,
        next_obs=index[:, None] + 1.0 + 0.1 * np.arange(OBS_DIM),
        terminated=index % 3 == 0,
        truncated=index % 2 == 0,
    )


def check_numbered(batch: Batch) -> np.ndarray:
    """Check that every part of each transition belongs together; return their numbers."""
    index = (batch.reward / 10.0).round()
    obs_steps, action_steps = 0.1 * torch.arange(OBS_DIM), 0.1 * torch.arange(ACTION_DIM)
    torch.testing.assert_close(batch.obs, index[:, None] + obs_steps)
    torch.testing.assert_close(batch.action, -index[:, None] - action_steps)
    torch.testing.assert_close(batch.next_obs, index[:, None] + 1.0 + obs_steps)
    assert torch.equal(batch.terminated, index % 3 == 0)
    return index.numpy().astype(int)


def test_transitions_come_back_whole_and_truncation_is_not_termination() -> None:
    buffer = ReplayBuffer(100, OBS_DIM, ACTION_DIM, seed=0)
    add_numbered(buffer, 0, 10)

    drawn = check_numbered(buffer.sample(500))

    assert set(drawn) == set(range(10))


@pytest.mark.parametrize("block", [1, 3, 7, 10])
def test_ring_keeps_exactly_the_newest(block: int) -> None:
    buffer = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0)
    for first in range(0, 10 * block, block):
        add_numbered(buffer, first, block)
        assert len(buffer) == min(buffer.num_added, 10)
        drawn = check_numbered(buffer.sample(300))
        assert set(drawn) == set(range(buffer.first_kept, buffer.num_added))


def test_more_transitions_than_the_ring_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="11 transitions at once, the capacity is 10"):
        add_numbered(ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0), 0, 11)


def test_batch_is_the_callers_own() -> None:
    buffer = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0)
    add_numbered(buffer, 0, 10)
    batch = buffer.sample(5)
    before = batch.obs.clone()

    add_numbered(buffer, 10, 10)
    buffer.sample(5)

    assert torch.equal(batch.obs, before)


def test_sampling_repeats_with_its_seed_and_leaves_the_global_streams_alone() -> None:
    first, second, other = (ReplayBuffer(100, OBS_DIM, ACTION_DIM, seed=seed) for seed in (1, 1, 2))
    for buffer in (first, second, other):
        add_numbered(buffer, 0, 100)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(1)
    np.random.seed(0)
    torch.manual_seed(0)

    drawn = first.sample(50).reward

    assert (np.random.rand(), torch.rand(1)) == expected
    assert torch.equal(drawn, second.sample(50).reward)
    assert not torch.equal(drawn, other.sample(50).reward)


@pytest.mark.parametrize("added", [0, 4, 10, 23])
def test_restored_buffer_draws_on_identically(added: int) -> None:
    buffer = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0)
    for first in range(added):
        add_numbered(buffer, first, 1)
    if added:
        buffer.sample(7)
    kept = buffer.rows(buffer.first_kept, buffer.num_added)

    restored = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=99)
    restored.restore(buffer.first_kept, (kept[:3], kept[3:]), buffer.rng_state)
    for each in (buffer, restored):
        add_numbered(each, added, 2)

    assert restored.num_added == buffer.num_added
    for mine, theirs in zip(restored.sample(64), buffer.sample(64), strict=True):
        assert torch.equal(mine, theirs)


def test_rows_that_the_ring_has_lost_cannot_be_asked_for() -> None:
    buffer = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0)
    add_numbered(buffer, 0, 10)
    add_numbered(buffer, 10, 5)

    with pytest.raises(ValueError, match="rows 4 to 15 asked for, the buffer holds 5 to 15"):
        buffer.rows(4, 15)


@pytest.mark.parametrize("part", ["obs", "action", "reward", "next_obs"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_transition_is_refused_by_name_and_not_stored(part: str, value: float) -> None:
    buffer = ReplayBuffer(10, OBS_DIM, ACTION_DIM, seed=0)
    add_numbered(buffer, 0, 5)
    parts = {
        "obs": np.zeros((2, OBS_DIM)),
        "action": np.zeros((2, ACTION_DIM)),
        "reward": np.zeros(2),
        "next_obs": np.zeros((2, OBS_DIM)),
    }
    parts[part].flat[-1] = value

    with pytest.raises(NonFiniteTransitionError, match=f"transition 5: {part} not finite"):
        buffer.add(**parts, terminated=np.zeros(2, bool), truncated=np.zeros(2, bool))

    assert buffer.num_added == 5


def test_buffer_that_does_not_fit_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay_buffer, "available_memory_bytes", lambda: 2**30)

    # 2 * 3 + 2 + 3 floats of 4 bytes are 44 a row.
    with pytest.raises(BufferMemoryError, match=r"needs 4\.1 GiB, 1\.0 GiB .* at most 24403223"):
        ReplayBuffer(100_000_000, OBS_DIM, ACTION_DIM, seed=0)


def test_available_memory_is_read_from_the_system() -> None:
    assert 2**20 < available_memory_bytes() < 2**50


def test_claimed_memory_is_there_before_the_first_transition() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    buffer = ReplayBuffer(capacity=1_000_000, obs_dim=4, action_dim=1, seed=0)
    before = resident_bytes()
    buffer.reserve_memory()
    assert resident_bytes() - before > 0.9 * 1_000_000 * buffer.row_bytes
    assert len(buffer) == 0
