"""The losses of SAC with discrete actions, as pure functions.

Equation numbers are those of Soft Actor-Critic for Discrete Action Settings, arXiv 1910.07207.
Expectations over actions are exact sums over all choices, so no noise is needed.
Shapes: B batch, O obs_dim, N critics, K choices.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch users know
from torch import Tensor

from sac_ros.sac.networks.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.replay.replay_buffer import Batch


def soft_target(
    batch: Batch,
    actor: CategoricalActor,
    critic_target: DiscreteCritics,
    alpha: Tensor,
    gamma: float,
) -> Tensor:
    """Return the right side of the soft Bellman equation [B], with the soft value of eq. 10."""
    with torch.no_grad():
        next_logp = actor.log_probabilities(batch.next_obs)
        next_q = critic_target(batch.next_obs).amin(dim=0)
        next_value = (next_logp.exp() * (next_q - alpha * next_logp)).sum(dim=-1)
        # Only a true termination ends the return; a time limit still bootstraps.
        target_q: Tensor = batch.reward + gamma * (~batch.terminated) * next_value
        return target_q


def critic_loss(
    batch: Batch, choice: Tensor, target_q: Tensor, critic: DiscreteCritics
) -> tuple[Tensor, Tensor]:
    """Return the soft Bellman residual of each critic [N] and its Q values [N, B].

    `choice` [B] is the index of the executed choice. The paper's factor 1/2 is left out.
    """
    q = critic.q_of_choice(batch.obs, choice)
    return F.mse_loss(q, target_q.expand_as(q), reduction="none").mean(dim=1), q


def actor_loss(
    batch: Batch, actor: CategoricalActor, critic: DiscreteCritics, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the policy objective, eq. 12, and the policy's entropy [B] in nats."""
    logp = actor.log_probabilities(batch.obs)
    with torch.no_grad():  # the gradient reaches the actor through the probabilities only
        q = critic(batch.obs).amin(dim=0)
    probability = logp.exp()
    loss = (probability * (alpha * logp - q)).sum(dim=-1).mean()
    return loss, -(probability * logp).sum(dim=-1)


def temperature_loss(log_alpha: Tensor, entropy: Tensor, target_entropy: float) -> Tensor:
    """Return eq. 11: descending it raises alpha while the entropy [B] is below its target."""
    return (log_alpha.exp() * (entropy.detach() - target_entropy)).mean()
