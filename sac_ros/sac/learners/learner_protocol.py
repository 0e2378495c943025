"""What training loop, checkpoint and export ask of a learner, whichever SAC it is.

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
"""What becomes a policy."""


class Metrics(Protocol):
    """A dataclass of floats, each logged under its own name; all have at least these."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]

    @property
    def qf_loss(self) -> float:
        """Mean residual of the critics."""
        ...

    @property
    def actor_loss(self) -> float:
        """The policy objective."""
        ...


class Learner(Protocol):
    """Takes one gradient step after another on batches that somebody else chose."""

    @property
    def obs_dim(self) -> int:
        """O."""
        ...

    @property
    def action_dim(self) -> int:
        """A."""
        ...

    @property
    def config(self) -> AlgorithmConfig:
        """Its hyperparameters, of its own class."""
        ...

    @property
    def actor(self) -> Actor:
        """What acts."""
        ...

    @property
    def num_updates(self) -> int:
        """Gradient steps taken."""
        ...

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature, a scalar without gradient."""
        ...

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample an action [n, A], in [-1, 1], for each observation [n, O]."""
        ...

    def update(self, batch: Batch) -> Metrics:
        """Take one gradient step on everything that learns."""
        ...

    def state(self) -> LearnerState:
        """Return a copy of all that the next update depends on."""
        ...

    def restore(self, state: LearnerState) -> None:
        """Become the learner that `state` was taken from; it must have the same networks."""
        ...
