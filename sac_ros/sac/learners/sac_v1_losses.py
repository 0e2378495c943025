"""The losses of SAC v1 (2018), as pure functions.

Equation numbers are those of Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement
Learning with a Stochastic Actor, arXiv 1801.01290. The temperature is fixed at 1; the reward scale
sets the weight of the entropy instead. Squared losses are without the factor 1/2: Adam's steps do
not depend on it.
Shapes: B batch, O obs_dim.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch users know
from torch import Tensor

from sac_ros.sac.networks.value_network import ValueNetwork
from sac_ros.sac.replay.replay_buffer import Batch


def value_loss(batch: Batch, q: Tensor, logp: Tensor, value: ValueNetwork) -> tuple[Tensor, Tensor]:
    """Return the loss of V, eq. 5, and the values V [B].

    `q` [B] is the minimum of both critics at actions sampled from the actor; `logp` [B] is the
    log-probability of these actions.
    """
    v = value(batch.obs)
    return F.mse_loss(v, (q - logp).detach()), v


def actor_loss(q: Tensor, logp: Tensor) -> Tensor:
    """Return the reparameterised policy loss, eq. 12; `q` and `logp` as in `value_loss`."""
    return (logp - q).mean()


def bellman_target(
    batch: Batch, value_target: ValueNetwork, reward_scale: float, gamma: float
) -> Tensor:
    """Return the right side of the soft Bellman equation [B], eq. 8."""
    with torch.no_grad():
        # Only a true termination ends the return; a time limit still bootstraps.
        next_value = (~batch.terminated) * value_target(batch.next_obs)
        target_q: Tensor = reward_scale * batch.reward + gamma * next_value
        return target_q
