"""The critics of a checkpoint, in one scale whichever SAC trained them.

Shapes: B batch, O obs_dim, A action_dim, N critics, K choices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from sac_ros.sac.checkpoint import load_learner
from sac_ros.sac.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.learner_parts import tensors_below
from sac_ros.sac.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.sac_config import SACConfig
from sac_ros.sac.sac_discrete import NUM_CRITICS as NUM_DISCRETE_CRITICS
from sac_ros.sac.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.sac_v1 import NUM_CRITICS

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class SavedCritic(Protocol):
    """An actor, and the critics that say what it is to earn."""

    @property
    def alpha(self) -> float:
        """Temperature in units of the environment's own reward."""
        ...

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw an action [B, A] for obs [B, O]; return it with its log-probability [B]."""
        ...

    def least_q(self, obs: Tensor, action: Tensor) -> Tensor:
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

    def least_q(self, obs: Tensor, action: Tensor) -> Tensor:
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
            logp = self.actor.log_probabilities(obs)
            drawn = torch.multinomial(logp.exp(), num_samples=1, generator=generator)
        return self.actor.choices[drawn.squeeze(-1)], logp.gather(-1, drawn).squeeze(-1)

    def least_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the least Q of the critics [B], of obs [B, O] and action [B, A]."""
        with torch.no_grad():
            q_of_all = self.critic(obs)  # [N, B, K]
            choice = self.actor.numbers_of(action).expand(len(q_of_all), -1)
            q: Tensor = q_of_all.gather(-1, choice[..., None]).squeeze(-1).amin(dim=0)
        return q


def load_critic(folder: Path) -> SavedCritic:
    """Rebuild actor and critics of a checkpoint; raise CheckpointError."""
    saved = load_learner(folder)
    tensors, config, obs_dim = saved.state.tensors, saved.config, saved.obs_dim
    if isinstance(config, SACDiscreteConfig):
        choices = tuple(map(tuple, tensors_below("actor", tensors)["choices"].tolist()))
        encoder, sizes = config.encoder, config.hidden_sizes
        return DiscreteCritic(
            actor=_filled(CategoricalActor(encoder, obs_dim, sizes, choices), "actor", tensors),
            alpha=float(tensors["log_alpha"].exp()),
            critic=_filled(
                DiscreteCritics(encoder, obs_dim, sizes, len(choices), NUM_DISCRETE_CRITICS),
                "critic",
                tensors,
            ),
        )
    if isinstance(config, SACConfig):
        num_critics, layer_norm = config.num_critics, config.critic_layer_norm
        alpha, reward_scale = float(tensors["log_alpha"].exp()), 1.0
    else:
        # Scaling the reward at temperature 1 is having the inverse as the temperature.
        num_critics, layer_norm = NUM_CRITICS, False
        alpha, reward_scale = 1.0 / config.reward_scale, config.reward_scale
    dimensions = (obs_dim, saved.action_dim, config.hidden_sizes)
    return ContinuousCritic(
        actor=_filled(SquashedGaussianActor(*dimensions), "actor", tensors),
        alpha=alpha,
        reward_scale=reward_scale,
        critic=_filled(CriticEnsemble(*dimensions, num_critics, layer_norm), "critic", tensors),
    )


def _filled(module: ModuleT, name: str, tensors: Mapping[str, Tensor]) -> ModuleT:
    """Return the module with the weights that were saved under this name."""
    module.load_state_dict(tensors_below(name, tensors))
    return module
