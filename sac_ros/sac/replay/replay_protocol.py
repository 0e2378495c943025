"""The interface of a replay buffer, and the choice of the buffer for an algorithm.

Shapes: n transitions added at once, k transitions, O obs_dim, A action_dim.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.networks.nature_cnn import IMAGE_SIZE
from sac_ros.sac.replay.frame_replay_buffer import FrameReplayBuffer
from sac_ros.sac.replay.replay_buffer import Batch, ReplayBuffer


class ReplayBufferProtocol(Protocol):
    """Past transitions, sampled uniformly; ReplayBuffer documents each member."""

    capacity: int
    num_added: int

    def __len__(self) -> int:
        """Return how many transitions can be sampled."""
        ...

    @property
    def first_kept(self) -> int:
        """Index of the oldest transition."""
        ...

    @property
    def row_bytes(self) -> int:
        """Approximate size of one transition in bytes."""
        ...

    @property
    def rng_state(self) -> Mapping[str, object]:
        """State of the sampling generator."""
        ...

    def add(
        self,
        obs: npt.ArrayLike,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        next_obs: npt.ArrayLike,
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike,
    ) -> None:
        """Append n transitions."""
        ...

    def sample(self, batch_size: int) -> Batch:
        """Sample a batch."""
        ...

    def obs_at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the observations [k, O] of transitions."""
        ...

    def chunk(self, start: int, stop: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return transitions for a checkpoint."""
        ...

    def restore_chunks(
        self,
        first_kept: int,
        chunks: Iterable[tuple[int, Mapping[str, npt.NDArray[np.generic]]]],
        rng_state: Mapping[str, object],
    ) -> None:
        """Restore the buffer from the chunks of a checkpoint."""
        ...


def make_buffer(
    obs_dim: int, action_dim: int, config: AlgorithmConfig, seed: int, device: str = "cpu"
) -> ReplayBufferProtocol:
    """Return the replay buffer for the algorithm: for images, one that stores each image once."""
    if isinstance(config, SACDiscreteConfig) and config.encoder == "nature_cnn":
        num_pixels = IMAGE_SIZE**2
        num_images = obs_dim // num_pixels
        capacity = config.buffer_capacity
        return FrameReplayBuffer(capacity, num_images, num_pixels, action_dim, seed, device)
    return ReplayBuffer(config.buffer_capacity, obs_dim, action_dim, seed, device)
