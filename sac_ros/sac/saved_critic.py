"""The critics of a checkpoint, in one scale whichever SAC trained them.

Shapes: B batch, O obs_dim, A action_dim.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sac_ros.errors import InputError
from sac_ros.sac.algorithm_config import algorithm_of
from sac_ros.sac.checkpoint import load_learner
from sac_ros.sac.learner_parts import tensors_below
from sac_ros.sac.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.sac_config import SACConfig
from sac_ros.sac.sac_v1 import NUM_CRITICS
from sac_ros.sac.sac_v1_config import SACV1Config


class NoCriticError(InputError):
    """The algorithm has no Q function of a continuous action."""


@dataclass(frozen=True, kw_only=True)
class SavedCritic:
    """An actor, and the critics that say what it is to earn."""

    actor: SquashedGaussianActor
    alpha: float
    """Temperature in units of the environment's own reward."""
    reward_scale: float
    """What the critics' reward was multiplied by."""
    critic: CriticEnsemble

    def least_q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return the least Q of the critics [B], of obs [B, O] and action [B, A].

        In units of the environment's own reward.
        """
        with torch.no_grad():
            q: Tensor = self.critic(obs, action).amin(dim=0)
        return q / self.reward_scale


def load_critic(folder: Path) -> SavedCritic:
    """Rebuild actor and critics of a checkpoint; raise NoCriticError or CheckpointError."""
    saved = load_learner(folder)
    tensors = saved.state.tensors
    layer_norm = False
    match saved.config:
        case SACConfig(num_critics=num_critics, critic_layer_norm=layer_norm):
            alpha, reward_scale = float(tensors["log_alpha"].exp()), 1.0
        case SACV1Config(reward_scale=reward_scale):
            # Scaling the reward at temperature 1 is having the inverse as the temperature.
            num_critics, alpha = NUM_CRITICS, 1.0 / reward_scale
        case _:
            raise NoCriticError(
                f"{algorithm_of(saved.config)} has no Q function of a continuous action"
            )
    actor = SquashedGaussianActor(saved.obs_dim, saved.action_dim, saved.config.hidden_sizes)
    actor.load_state_dict(tensors_below("actor", tensors))
    critic = CriticEnsemble(
        saved.obs_dim, saved.action_dim, saved.config.hidden_sizes, num_critics, layer_norm
    )
    critic.load_state_dict(tensors_below("critic", tensors))
    return SavedCritic(actor=actor, alpha=alpha, reward_scale=reward_scale, critic=critic)
