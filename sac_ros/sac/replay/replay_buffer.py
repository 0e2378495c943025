"""The replay buffer: one packed row per transition, so that sampling is a single gather.

Shapes: n transitions added at once, B batch, O obs_dim, A action_dim, W = 2 O + A + 3.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sac_ros.errors import InputError
from sac_ros.sac.compute.available_memory import available_memory_bytes

_FLOAT_BYTES = 4
_ROWS = "rows"


class BufferMemoryError(InputError):
    """The requested replay buffer does not fit into this machine's memory."""


class NonFiniteTransitionError(InputError):
    """A transition holds NaN or infinity."""


class Batch(NamedTuple):
    """A batch of transitions, as the losses use it."""

    obs: Tensor  # [B, O]
    action: Tensor  # [B, A], in [-1, 1]
    reward: Tensor  # [B]
    next_obs: Tensor  # [B, O]
    terminated: Tensor  # [B], bool; a truncated step is not terminated


class ReplayBuffer:
    """A ring buffer of the newest `capacity` transitions, sampled uniformly with replacement.

    A row is obs, action, reward, next_obs, terminated, truncated. All rows form one float32 array
    [capacity, W]: indexing one array is five times faster than indexing five.
    """

    def __init__(
        self, capacity: int, obs_dim: int, action_dim: int, seed: int, device: str = "cpu"
    ) -> None:
        self.capacity = capacity
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.num_added = 0
        """Transitions ever added; transition i lies in row i modulo capacity."""
        self._device = torch.device(device)
        self._rng = np.random.default_rng(seed)
        self._rows = _allocate(capacity, _row_width(obs_dim, action_dim))
        self._rows_np = self._rows.numpy()  # the same memory

    def __len__(self) -> int:
        return min(self.num_added, self.capacity)

    def reserve_memory(self) -> None:
        """Write to all of the buffer's memory now, so that the system really allocates it.

        Linux allocates a page at the first write. Without this, the process grows while the buffer
        fills, and may be killed hours later for lack of memory.
        """
        self._rows.zero_()

    def add(
        self,
        obs: npt.ArrayLike,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        next_obs: npt.ArrayLike,
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike,
    ) -> None:
        """Append n transitions: [n, O], [n, A], [n], [n, O], [n], [n]; the oldest are replaced.

        `next_obs` is the observation that the step led to, also where an episode ended.
        """
        num_new = len(np.asarray(reward))
        rows = np.concatenate(
            (
                np.reshape(obs, (num_new, self.obs_dim)),
                np.reshape(action, (num_new, self.action_dim)),
                np.reshape(reward, (num_new, 1)),
                np.reshape(next_obs, (num_new, self.obs_dim)),
                np.reshape(terminated, (num_new, 1)),
                np.reshape(truncated, (num_new, 1)),
            ),
            axis=1,
            dtype=np.float32,
            casting="same_kind",
        )
        if not np.isfinite(rows).all():
            parts = {"obs": obs, "action": action, "reward": reward, "next_obs": next_obs}
            broken = [name for name, part in parts.items() if not np.isfinite(part).all()]
            raise NonFiniteTransitionError(
                f"transition {self.num_added}: {' and '.join(broken)} not finite; learning from it"
                " would make the weights NaN: check the environment for divergence"
            )
        self._append(rows)

    def sample(self, batch_size: int) -> Batch:
        """Sample a batch; the tensors are copies."""
        positions = self._rng.integers(0, len(self), size=batch_size)
        rows = self._rows.index_select(0, torch.from_numpy(positions)).to(self._device)
        action_at = self.obs_dim
        reward_at = action_at + self.action_dim
        next_obs_at = reward_at + 1
        terminated_at = next_obs_at + self.obs_dim
        return Batch(
            obs=rows[:, :action_at],
            action=rows[:, action_at:reward_at],
            reward=rows[:, reward_at],
            next_obs=rows[:, next_obs_at:terminated_at],
            terminated=rows[:, terminated_at] != 0.0,
        )

    @property
    def row_bytes(self) -> int:
        """Size of one packed row in bytes."""
        return _FLOAT_BYTES * _row_width(self.obs_dim, self.action_dim)

    @property
    def first_kept(self) -> int:
        """Index of the oldest stored transition, counted over all transitions ever added."""
        return self.num_added - len(self)

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return a copy [stop - start, W] of rows, by index over all transitions ever added."""
        if not self.first_kept <= start <= stop <= self.num_added:
            raise ValueError(
                f"rows {start} to {stop} asked for, the buffer holds {self.first_kept} to"
                f" {self.num_added}"
            )
        return self._rows_np[np.arange(start, stop) % self.capacity]

    def obs_at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the observations [k, O] of k transitions, by index over all ever added."""
        return self._rows_np[indices % self.capacity, : self.obs_dim]

    def chunk(self, start: int, stop: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return transitions from start up to stop, for a checkpoint."""
        return {_ROWS: self.rows(start, stop)}

    def restore_chunks(
        self,
        first_kept: int,
        chunks: Iterable[tuple[int, Mapping[str, npt.NDArray[np.generic]]]],
        rng_state: Mapping[str, object],
    ) -> None:
        """Restore the buffer from chunks, each with the index of its first transition.

        `first_kept` is the oldest transition to keep; the first chunk may begin before it.
        """
        rows = (
            chunk[_ROWS].astype(np.float32, copy=False)[max(0, first_kept - start) :]
            for start, chunk in chunks
        )
        self.restore(first_kept, rows, rng_state)

    @property
    def rng_state(self) -> Mapping[str, object]:
        """State of the sampling generator, serialisable as JSON."""
        return self._rng.bit_generator.state

    def restore(
        self,
        first_kept: int,
        rows: Iterable[npt.NDArray[np.float32]],
        rng_state: Mapping[str, object],
    ) -> None:
        """Restore the buffer from blocks of rows [n, W]; the first row has index `first_kept`."""
        # Rows return to their old positions, so that the generator samples the same transitions.
        self.num_added = first_kept
        for block in rows:
            self._append(block)
        self._rng.bit_generator.state = dict(rng_state)

    def _append(self, rows: npt.NDArray[np.float32]) -> None:
        if len(rows) > self.capacity:
            raise ValueError(f"{len(rows)} transitions at once, the capacity is {self.capacity}")
        start = self.num_added % self.capacity
        until_end = self.capacity - start
        self._rows_np[start : start + len(rows)] = rows[:until_end]
        self._rows_np[: max(0, len(rows) - until_end)] = rows[until_end:]
        self.num_added += len(rows)


def _row_width(obs_dim: int, action_dim: int) -> int:
    return 2 * obs_dim + action_dim + 3


def _allocate(capacity: int, row_width: int) -> Tensor:
    refuse_if_too_large(capacity, row_width * _FLOAT_BYTES)
    return torch.empty(capacity, row_width)


def refuse_if_too_large(capacity: int, row_bytes: int) -> None:
    """Raise BufferMemoryError if `capacity` rows do not fit into memory."""
    needed = capacity * row_bytes
    available = available_memory_bytes()
    # Checked in advance: Linux overcommits memory and kills the process hours later.
    if needed > available:
        raise BufferMemoryError(
            f"a replay buffer of {capacity} transitions of {row_bytes} bytes needs"
            f" {needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are available;"
            f" lower buffer_capacity to at most {available // row_bytes}"
        )
