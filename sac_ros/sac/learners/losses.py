"""The three losses of SAC, as pure functions.

Equation numbers are those of Soft Actor-Critic Algorithms and Applications, arXiv 1812.05905.
Randomness is an argument, standard normal noise [B, A]: the same arguments give the same loss.
Shapes: B batch, O obs_dim, A action_dim, N critics.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch users know
from torch import Tensor

from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.replay.replay_buffer import Batch


def soft_target(
    batch: Batch,
    noise: Tensor,
    actor: SquashedGaussianActor,
    critic_target: CriticEnsemble,
    alpha: Tensor,
    gamma: float,
) -> Tensor:
    """Return the right side of the soft Bellman equation [B], eqs. 2 and 3."""
    with torch.no_grad():
        next_action, next_logp = actor.reparameterize(batch.next_obs, noise)
        next_q = critic_target(batch.next_obs, next_action).amin(dim=0)
        next_value = next_q - alpha * next_logp
        # Only a true termination ends the return; a time limit still bootstraps.
        target_q: Tensor = batch.reward + gamma * (~batch.terminated) * next_value
        return target_q


def critic_loss(batch: Batch, target_q: Tensor, critic: CriticEnsemble) -> tuple[Tensor, Tensor]:
    """Return the soft Bellman residual of each critic [N], eq. 5, and the Q values [N, B].

    The factor 1/2 of eq. 5 is left out, as in CleanRL, so that loss curves can be compared. Adam's
    steps do not depend on it.
    """
    q = critic(batch.obs, batch.action)
    return F.mse_loss(q, target_q.expand_as(q), reduction="none").mean(dim=1), q


def actor_loss(
    batch: Batch,
    noise: Tensor,
    actor: SquashedGaussianActor,
    critic: CriticEnsemble,
    alpha: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the reparameterised policy objective, eq. 9, and logp [B] of the actions it drew."""
    action, logp = actor.reparameterize(batch.obs, noise)
    q = critic(batch.obs, action).amin(dim=0)
    return (alpha * logp - q).mean(), logp


def temperature_loss(log_alpha: Tensor, logp: Tensor, target_entropy: float) -> Tensor:
    """Return eq. 18: descending it raises alpha while the entropy is below its target."""
    return -(log_alpha.exp() * (logp.detach() + target_entropy)).mean()
