"""Load actor and critics from a checkpoint, in the same units for every SAC variant.

Shapes: B batch, O obs_dim, A action_dim, N critics, K choices.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from sac_ros.sac.checkpoints.checkpoint import load_learner
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.learners.algorithms import actor_from_weights
from sac_ros.sac.learners.learner_parts import tensors_of_part
from sac_ros.sac.learners.sac_discrete import NUM_CRITICS as NUM_DISCRETE_CRITICS
from sac_ros.sac.learners.sac_v1 import NUM_CRITICS
from sac_ros.sac.networks.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor


class SavedCritic(Protocol):
    """An actor with the critics that estimate its soft return."""

    @property
    def alpha(self) -> float:
        """Temperature in units of the environment's own reward."""
        ...

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        ...

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the minimum Q of all critics [B] at obs [B, O] and action [B, A].

        In units of the environment's own reward.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ContinuousCritic:
    """Actor and critics for continuous actions in [-1, 1]."""

    actor: SquashedGaussianActor
    alpha: float
    reward_scale: float
    """Factor on the reward that the critics were trained with."""
    critic: CriticEnsemble

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        with torch.no_grad():
            return self.actor.sample(obs, generator)

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the minimum Q of all critics [B] at obs [B, O] and action [B, A]."""
        with torch.no_grad():
            q: Tensor = self.critic(obs, action).amin(dim=0)
        return q / self.reward_scale


@dataclass(frozen=True, kw_only=True)
class DiscreteCritic:
    """Actor and critics for discrete actions."""

    actor: CategoricalActor
    alpha: float
    critic: DiscreteCritics

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        with torch.no_grad():
            return self.actor.sample_with_logp(obs, generator)

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the minimum Q of all critics [B] at obs [B, O] and action [B, A]."""
        with torch.no_grad():
            return self.critic.q_of_choice(obs, self.actor.choice_indices(action)).amin(dim=0)


def load_critic(folder: Path) -> SavedCritic:
    """Load actor and critics from a checkpoint folder; raise CheckpointError."""
    saved = load_learner(folder)
    tensors, config, obs_dim = saved.state.tensors, saved.config, saved.obs_dim
    actor = actor_from_weights(obs_dim, saved.action_dim, config, tensors_of_part("actor", tensors))
    weights = tensors_of_part("critic", tensors)
    if isinstance(config, SACDiscreteConfig):
        assert isinstance(actor, CategoricalActor)
        critics = DiscreteCritics(
            config.encoder, obs_dim, config.hidden_sizes, len(actor.choices), NUM_DISCRETE_CRITICS
        )
        critics.load_state_dict(weights)
        return DiscreteCritic(actor=actor, alpha=float(tensors["log_alpha"].exp()), critic=critics)
    if isinstance(config, SACConfig):
        num_critics, layer_norm = config.num_critics, config.critic_layer_norm
        alpha, reward_scale = float(tensors["log_alpha"].exp()), 1.0
    else:
        # SAC v1 scales the reward at temperature 1: in unscaled units, alpha is 1 / reward_scale.
        num_critics, layer_norm = NUM_CRITICS, False
        alpha, reward_scale = 1.0 / config.reward_scale, config.reward_scale
    assert isinstance(actor, SquashedGaussianActor)
    critic = CriticEnsemble(obs_dim, saved.action_dim, config.hidden_sizes, num_critics, layer_norm)
    critic.load_state_dict(weights)
    return ContinuousCritic(actor=actor, alpha=alpha, reward_scale=reward_scale, critic=critic)
