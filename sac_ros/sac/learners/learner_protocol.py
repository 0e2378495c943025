"""The interface that every SAC learner has: used by training loop, checkpoint and export.

Shapes: n observations at once, O obs_dim, A action_dim.
"""

from dataclasses import Field
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.sac.learners.learner import LearnerState
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.sac.networks.networks import SquashedGaussianActor
from sac_ros.sac.replay.replay_buffer import Batch

Actor: TypeAlias = SquashedGaussianActor | CategoricalActor
"""The network that is exported as a policy."""


class Metrics(Protocol):
    """A dataclass of floats, each logged under its field name; these two always exist."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    @property
    def qf_loss(self) -> float:
        """Mean loss of the critics."""
        ...

    @property
    def actor_loss(self) -> float:
        """The policy loss."""
        ...


class Learner(Protocol):
    """One SAC algorithm: takes a gradient step per batch; the caller samples the batches."""

    @property
    def obs_dim(self) -> int:
        """Size O of the observation."""
        ...

    @property
    def action_dim(self) -> int:
        """Size A of the action."""
        ...

    @property
    def config(self) -> AlgorithmConfig:
        """The hyperparameters; their class tells the algorithm."""
        ...

    @property
    def actor(self) -> Actor:
        """The policy network that is trained."""
        ...

    @property
    def num_updates(self) -> int:
        """Gradient steps taken so far."""
        ...

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature, a scalar without gradient."""
        ...

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample an action [n, A], in [-1, 1], for each observation [n, O]."""
        ...

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step on every trained network and the temperature."""
        ...

    def state(self) -> LearnerState:
        """Return a copy of everything that determines the next update."""
        ...

    def restore(self, state: LearnerState) -> None:
        """Restore a saved state; the network sizes must be the same."""
        ...
