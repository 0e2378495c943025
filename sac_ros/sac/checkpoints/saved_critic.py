"""The critics of a checkpoint, in one scale whichever SAC trained them.

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
    """An actor, and the critics that say what it is to earn."""

    @property
    def alpha(self) -> float:
        """Temperature in units of the environment's own reward."""
        ...

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        ...

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the least Q of the critics [B], of obs [B, O] and action [B, A].

        In units of the environment's own reward.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ContinuousCritic:
    """Critics of any action in [-1, 1]."""

    actor: SquashedGaussianActor
    alpha: float
    reward_scale: float
    """What the critics' reward was multiplied by."""
    critic: CriticEnsemble

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        with torch.no_grad():
            return self.actor.sample(obs, generator)

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the least Q of the critics [B], of obs [B, O] and action [B, A]."""
        with torch.no_grad():
            q: Tensor = self.critic(obs, action).amin(dim=0)
        return q / self.reward_scale


@dataclass(frozen=True, kw_only=True)
class DiscreteCritic:
    """Critics of the choices of a discrete policy."""

    actor: CategoricalActor
    alpha: float
    critic: DiscreteCritics

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        with torch.no_grad():
            return self.actor.sample_with_logp(obs, generator)

    def min_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the least Q of the critics [B], of obs [B, O] and action [B, A]."""
        with torch.no_grad():
            return self.critic.q_of_choice(obs, self.actor.choice_indices(action)).amin(dim=0)


def load_critic(folder: Path) -> SavedCritic:
    """Rebuild actor and critics of a checkpoint; raise CheckpointError."""
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
        # Scaling the reward at temperature 1 is having the inverse as the temperature.
        num_critics, layer_norm = NUM_CRITICS, False
        alpha, reward_scale = 1.0 / config.reward_scale, config.reward_scale
    assert isinstance(actor, SquashedGaussianActor)
    critic = CriticEnsemble(obs_dim, saved.action_dim, config.hidden_sizes, num_critics, layer_norm)
    critic.load_state_dict(weights)
    return ContinuousCritic(actor=actor, alpha=alpha, reward_scale=reward_scale, critic=critic)
