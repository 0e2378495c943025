"""SAC v1, the version of 2018 with a state-value network: algorithm 1 of arXiv 1801.01290.

Shapes: B batch, O obs_dim, A action_dim, N = 2 critics, n observations at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sac_ros.sac.compute.adam import Adam
from sac_ros.sac.compute.execution import REFERENCE, Execution
from sac_ros.sac.compute.precision import matmul_precision
from sac_ros.sac.compute.update_function import UpdateFunction
from sac_ros.sac.config.sac_v1_config import SACV1Config
from sac_ros.sac.learners.learner import LearnerState
from sac_ros.sac.learners.learner_parts import (
    LearnerParts,
    independent_seeds,
    make_target,
    polyak_update,
)
from sac_ros.sac.learners.losses import critic_loss
from sac_ros.sac.learners.sac_v1_losses import actor_loss, bellman_target, value_loss
from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.networks.value_network import ValueNetwork
from sac_ros.sac.replay.replay_buffer import Batch

NUM_CRITICS: Final = 2


@dataclass(frozen=True, kw_only=True)
class SACV1Metrics:
    """Metrics of one update, computed before the step; means are over the batch.

    Values, Q values and their losses are in units of the scaled reward.
    """

    qf1_loss: float
    """Soft Bellman residual of the first critic."""
    qf2_loss: float
    """Soft Bellman residual of the second critic."""
    qf_loss: float
    """Mean loss of both critics."""
    q_mean: float
    """Mean Q value of the batch's own actions, over both critics."""
    vf_loss: float
    """Residual of the state value."""
    v_mean: float
    """Mean state value of the batch."""
    actor_loss: float
    """Mean of logp - min Q at actions drawn from the actor."""
    entropy: float
    """Mean of -logp of those actions, nats."""
    alpha: float
    """Entropy temperature in units of the unscaled reward: 1 / reward_scale."""


class SACV1Learner:
    """Actor, V, its target, two critics, optimisers and random generators of one run."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        config: SACV1Config,
        seed: int,
        execution: Execution = REFERENCE,
    ) -> None:
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.config = config
        self.num_updates = 0
        self._device = torch.device(execution.device)
        self._precision = execution.precision
        weights_seed, update_seed, act_seed = independent_seeds(seed, 3)
        # Separate generators: the number of actions between two updates must not change the noise
        # that an update draws.
        self._update_generator = torch.Generator(self._device).manual_seed(update_seed)
        self._act_generator = torch.Generator(self._device).manual_seed(act_seed)

        # Created on the CPU with a separate generator: the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(weights_seed)
            actor = SquashedGaussianActor(obs_dim, action_dim, config.hidden_sizes)
            critic = CriticEnsemble(obs_dim, action_dim, config.hidden_sizes, NUM_CRITICS)
            value = ValueNetwork(obs_dim, config.hidden_sizes)
        self.actor = actor.to(self._device)
        self._critic = critic.to(self._device)
        self._value = value.to(self._device)
        self._value_target = make_target(self._value)

        self._actor_optimizer = Adam(self.actor.parameters(), config.actor_learning_rate)
        self._critic_optimizer = Adam(self._critic.parameters(), config.critic_learning_rate)
        self._value_optimizer = Adam(self._value.parameters(), config.value_learning_rate)
        self._parts = LearnerParts(
            modules={
                "actor": self.actor,
                "critic": self._critic,
                "value": self._value,
                "value_target": self._value_target,
            },
            optimizers={
                "actor_optimizer": self._actor_optimizer,
                "critic_optimizer": self._critic_optimizer,
                "value_optimizer": self._value_optimizer,
            },
            generators={
                "update_generator": self._update_generator,
                "act_generator": self._act_generator,
            },
        )

        self._take_step = UpdateFunction(
            self._step, tuple(self._parts.optimizers.values()), execution
        )

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature in units of the unscaled reward, a scalar."""
        return torch.tensor(1.0 / self.config.reward_scale)

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample an action [n, A], in [-1, 1], for each observation [n, O]."""
        with torch.no_grad():
            action, _ = self.actor.sample(
                torch.from_numpy(obs).to(self._device), self._act_generator
            )
        result: npt.NDArray[np.float32] = action.cpu().numpy()
        return result

    def update(self, batch: Batch) -> SACV1Metrics:
        """Take one gradient step on V, actor and critics, then move the target of V."""
        noise = torch.randn(
            len(batch.obs), self.action_dim, generator=self._update_generator, device=self._device
        )
        reported = self._take_step(*batch, noise)
        self.num_updates += 1
        return self._metrics(reported)

    def state(self) -> LearnerState:
        """Return a copy of everything that determines the next update."""
        return LearnerState(num_updates=self.num_updates, tensors=self._parts.tensors())

    def restore(self, state: LearnerState) -> None:
        """Restore a saved state; the network sizes must be the same."""
        self._parts.restore(state.tensors)
        self.num_updates = state.num_updates

    def _step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Step V, actor and critics; return the metrics [7].

        V and actor come first: both losses use the same sampled actions and the same Q values.
        """
        batch = Batch(obs, action, reward, next_obs, terminated)
        with matmul_precision(self._precision, self._device):
            drawn_action, logp = self.actor.reparameterize(obs, noise)
            q_drawn = self._critic(obs, drawn_action).amin(dim=0)
            vf_loss, v = value_loss(batch, q_drawn, logp, self._value)
            policy_loss = actor_loss(q_drawn, logp)
            target_q = bellman_target(
                batch, self._value_target, self.config.reward_scale, self.config.gamma
            )
            qf_losses, q = critic_loss(batch, target_q, self._critic)

        self._value_optimizer.descend(vf_loss)
        self._actor_optimizer.descend(policy_loss)
        self._critic_optimizer.descend(qf_losses.sum())
        polyak_update(self._value_target, self._value, self.config.tau)
        means = (*qf_losses, q.mean(), vf_loss, v.mean(), policy_loss, -logp.mean())
        return torch.stack(means).detach()

    def _metrics(self, means: list[float]) -> SACV1Metrics:
        qf1_loss, qf2_loss, q_mean, vf_loss, v_mean, policy_loss, entropy = means
        return SACV1Metrics(
            qf1_loss=qf1_loss,
            qf2_loss=qf2_loss,
            qf_loss=(qf1_loss + qf2_loss) / 2.0,
            q_mean=q_mean,
            vf_loss=vf_loss,
            v_mean=v_mean,
            actor_loss=policy_loss,
            entropy=entropy,
            alpha=1.0 / self.config.reward_scale,
        )
