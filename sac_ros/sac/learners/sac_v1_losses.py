"""The losses of the SAC of 2018, as pure functions.

Equation numbers are those of Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement
Learning with a Stochastic Actor, arXiv 1801.01290. The temperature is 1; the scale of the reward
takes its place. Squared losses lack the factor 1/2, which Adam does not feel.
Shapes: B batch, O obs_dim.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch users know
from torch import Tensor

from sac_ros.sac.networks.value_network import ValueNetwork
from sac_ros.sac.replay.replay_buffer import Batch


def value_loss(batch: Batch, q: Tensor, logp: Tensor, value: ValueNetwork) -> tuple[Tensor, Tensor]:
    """Return the residual of V, eq. 5, and its values [B].

    `q` [B] is the lesser of both critics at actions drawn from the actor, `logp` [B] theirs.
    """
    v = value(batch.obs)
    return F.mse_loss(v, (q - logp).detach()), v


def actor_loss(q: Tensor, logp: Tensor) -> Tensor:
    """Return the reparameterised policy objective, eq. 12; `q` and `logp` as above."""
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
