"""Create the learner for a task and a set of hyperparameters.

Shapes: O obs_dim, A action_dim, K choices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sac_ros.errors import InputError
from sac_ros.sac.compute.execution import REFERENCE, Execution
from sac_ros.sac.config.algorithm_config import AlgorithmConfig, algorithm_of
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.learners.learner_protocol import Actor, Learner
from sac_ros.sac.learners.sac_discrete import SACDiscreteLearner
from sac_ros.sac.learners.sac_v1 import SACV1Learner
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.sac.networks.network_memory import refuse_if_too_large
from sac_ros.sac.networks.networks import SquashedGaussianActor
from sac_ros.task.action import ActionScaling
from sac_ros.task.task_spec import TaskSpec


class AlgorithmMismatchError(InputError):
    """Discrete algorithm with a continuous action space, or the reverse."""


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """The sizes of a task's observation and action, as a learner needs them."""

    obs_dim: int
    action_dim: int
    choices: tuple[tuple[float, ...], ...] | None = None
    """The K actions [K, A], in [-1, 1], of a task with discrete actions; None if continuous."""

    @classmethod
    def of(cls, task: TaskSpec) -> "Dimensions":
        """Return the dimensions of a task."""
        choices = ActionScaling(task.action).actions_of_choices()
        return cls(
            obs_dim=task.obs_dim,
            action_dim=task.action_dim,
            choices=None if choices is None else tuple(map(tuple, choices.tolist())),
        )


def make_learner(
    dimensions: Dimensions,
    config: AlgorithmConfig,
    seed: int,
    execution: Execution = REFERENCE,
) -> Learner:
    """Return a new learner; the class of `config` selects the algorithm.

    Raises AlgorithmMismatchError if the algorithm does not suit the task's action space, and
    NetworkMemoryError if the networks do not fit into memory.
    """
    refuse_if_too_large(config)
    obs_dim, choices = dimensions.obs_dim, dimensions.choices
    match config:
        case SACDiscreteConfig() if choices is not None:
            return SACDiscreteLearner(obs_dim, choices, config, seed, execution)
        case SACConfig() if choices is None:
            return SACLearner(obs_dim, dimensions.action_dim, config, seed, execution)
        case SACV1Config() if choices is None:
            return SACV1Learner(obs_dim, dimensions.action_dim, config, seed, execution)
    if choices is None:
        raise AlgorithmMismatchError(
            "sac_discrete needs a discrete action space, but the task has a continuous one; add"
            " `choices` to the task's action, or train with --algorithm sac"
        )
    raise AlgorithmMismatchError(
        f"the task has {len(choices)} actions to choose from (Discrete), but"
        f" {algorithm_of(config)} needs a continuous action space; train with --algorithm"
        " sac_discrete"
    )


def actor_from_weights(
    obs_dim: int, action_dim: int, config: AlgorithmConfig, weights: Mapping[str, Tensor]
) -> Actor:
    """Return the actor that `config` describes, with the saved `weights`."""
    actor: Actor
    if isinstance(config, SACDiscreteConfig):
        choices = tuple(map(tuple, weights["choices"].tolist()))
        actor = CategoricalActor(config.encoder, obs_dim, config.hidden_sizes, choices)
    else:
        actor = SquashedGaussianActor(obs_dim, action_dim, config.hidden_sizes)
    actor.load_state_dict(dict(weights))
    return actor
