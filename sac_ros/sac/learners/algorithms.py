"""From a task and hyperparameters to the learner they belong to.

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
    """The algorithm cannot act in the task: one chooses, the other does not."""


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """What a learner must know of its task."""

    obs_dim: int
    action_dim: int
    choices: tuple[tuple[float, ...], ...] | None = None
    """Actions [K, A] in [-1, 1] of a discrete task."""

    @classmethod
    def of(cls, task: TaskSpec) -> "Dimensions":
        """Return those of a task."""
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
    """Return a new learner of the algorithm whose hyperparameters these are.

    Raises AlgorithmMismatchError if it cannot act in such a task, NetworkMemoryError if its
    networks do not fit into memory.
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
            "sac_discrete chooses one of several commands, but the task has a range of them; give"
            " its action `choices`, or train with --algorithm sac"
        )
    raise AlgorithmMismatchError(
        f"the task leaves a choice of {len(choices)} commands (Discrete), but"
        f" {algorithm_of(config)} commands from a range; train with --algorithm sac_discrete"
    )


def restored_actor(
    obs_dim: int, action_dim: int, config: AlgorithmConfig, weights: Mapping[str, Tensor]
) -> Actor:
    """Return the actor of a learner of that algorithm, with saved weights."""
    actor: Actor
    if isinstance(config, SACDiscreteConfig):
        choices = tuple(map(tuple, weights["choices"].tolist()))
        actor = CategoricalActor(config.encoder, obs_dim, config.hidden_sizes, choices)
    else:
        actor = SquashedGaussianActor(obs_dim, action_dim, config.hidden_sizes)
    actor.load_state_dict(dict(weights))
    return actor
