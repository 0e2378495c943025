"""Soft Actor-Critic with discrete actions, for vectors and for images (arXiv 1910.07207).

Shapes: B batch, O obs_dim, A action_dim, N = 2 critics, K choices, n observations at once.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sac_ros.sac.compute.adam import Adam
from sac_ros.sac.compute.execution import REFERENCE, Execution
from sac_ros.sac.compute.precision import matmul_precision
from sac_ros.sac.compute.update_function import UpdateFunction
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.learners.learner import LearnerState
from sac_ros.sac.learners.learner_parts import (
    LearnerParts,
    independent_seeds,
    initial_log_alpha,
    make_target,
    polyak_update,
)
from sac_ros.sac.learners.sac_discrete_losses import (
    actor_loss,
    critic_loss,
    soft_target,
    temperature_loss,
)
from sac_ros.sac.networks.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.replay.replay_buffer import Batch

NUM_CRITICS: Final = 2


@dataclass(frozen=True, kw_only=True)
class SACDiscreteMetrics:
    """Metrics of one update, computed before the step; means are over the batch."""

    qf1_loss: float
    """Soft Bellman residual of the first critic."""
    qf2_loss: float
    """Soft Bellman residual of the second critic."""
    qf_loss: float
    """Mean loss of both critics."""
    q_mean: float
    """Mean Q value of the batch's own choices, over both critics."""
    actor_loss: float
    """Mean over the batch of the expectation, over choices, of alpha * logp - min Q."""
    entropy: float
    """Mean entropy of the policy at the batch's observations, nats."""
    alpha: float
    """Entropy temperature used in this update."""
    alpha_loss: float
    """Temperature objective, eq. 11; logged but not minimised when alpha is fixed."""


class SACDiscreteLearner:
    """Networks, target networks, temperature, optimisers and random generators of one run."""

    def __init__(
        self,
        obs_dim: int,
        choices: tuple[tuple[float, ...], ...],
        config: SACDiscreteConfig,
        seed: int,
        execution: Execution = REFERENCE,
    ) -> None:
        """`choices` [K, A] are the discrete actions, in [-1, 1]."""
        self.obs_dim = obs_dim
        self.action_dim = len(choices[0])
        self.config = config
        self.num_updates = 0
        self._device = torch.device(execution.device)
        self._precision = execution.precision
        weights_seed, act_seed = independent_seeds(seed, 2)
        self._act_generator = torch.Generator(self._device).manual_seed(act_seed)

        # Created on the CPU with a separate generator: the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(weights_seed)
            actor = CategoricalActor(config.encoder, obs_dim, config.hidden_sizes, choices)
            critic = DiscreteCritics(
                config.encoder, obs_dim, config.hidden_sizes, len(choices), NUM_CRITICS
            )
        self.actor = actor.to(self._device)
        self._critic = critic.to(self._device)
        self._critic_target = make_target(self._critic)

        log_alpha = initial_log_alpha(config.initial_alpha, config.fixed_alpha)
        self._log_alpha = nn.Parameter(torch.tensor(log_alpha, device=self._device))
        self._target_entropy = config.target_entropy_scale * math.log(len(choices))

        epsilon = config.adam_epsilon
        self._actor_optimizer = Adam(self.actor.parameters(), config.actor_learning_rate, epsilon)
        self._critic_optimizer = Adam(
            self._critic.parameters(), config.critic_learning_rate, epsilon
        )
        self._alpha_optimizer = Adam([self._log_alpha], config.alpha_learning_rate, epsilon)
        self._parts = LearnerParts(
            modules={
                "actor": self.actor,
                "critic": self._critic,
                "critic_target": self._critic_target,
            },
            optimizers={
                "actor_optimizer": self._actor_optimizer,
                "critic_optimizer": self._critic_optimizer,
                "alpha_optimizer": self._alpha_optimizer,
            },
            generators={"act_generator": self._act_generator},
            parameters={"log_alpha": self._log_alpha},
        )

        self._take_step = UpdateFunction(
            self._step, tuple(self._parts.optimizers.values()), execution
        )

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature, a scalar without gradient."""
        return self._log_alpha.detach().exp()

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample a choice for each observation [n, O]; return the actions [n, A]."""
        with torch.no_grad():
            action = self.actor.sample(torch.from_numpy(obs).to(self._device), self._act_generator)
        result: npt.NDArray[np.float32] = action.cpu().numpy()
        return result

    def update(self, batch: Batch) -> SACDiscreteMetrics:
        """Take one gradient step on critics, actor and temperature, in the paper's order."""
        reported = self._take_step(*batch)
        self.num_updates += 1
        if self.num_updates % self.config.target_update_interval == 0:
            polyak_update(self._critic_target, self._critic, self.config.tau)
        return _metrics(reported)

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
    ) -> Tensor:
        """Step critics, actor and temperature; return the metrics [7]."""
        batch = Batch(obs, action, reward, next_obs, terminated)
        alpha = self.alpha
        choice = self.actor.choice_indices(action)
        with matmul_precision(self._precision, self._device):
            target_q = soft_target(batch, self.actor, self._critic_target, alpha, self.config.gamma)
            qf_losses, q = critic_loss(batch, choice, target_q, self._critic)
        self._critic_optimizer.descend(qf_losses.sum())

        with matmul_precision(self._precision, self._device):
            policy_loss, entropy = actor_loss(batch, self.actor, self._critic, alpha)
        self._actor_optimizer.descend(policy_loss)

        alpha_loss = temperature_loss(self._log_alpha, entropy, self._target_entropy)
        if self.config.fixed_alpha is None:
            self._alpha_optimizer.descend(alpha_loss)
        means = (*qf_losses, q.mean(), policy_loss, entropy.mean(), alpha, alpha_loss)
        return torch.stack(means).detach()


def _metrics(reported: list[float]) -> SACDiscreteMetrics:
    qf1_loss, qf2_loss, q_mean, policy_loss, entropy, alpha, alpha_loss = reported
    return SACDiscreteMetrics(
        qf1_loss=qf1_loss,
        qf2_loss=qf2_loss,
        qf_loss=(qf1_loss + qf2_loss) / 2.0,
        q_mean=q_mean,
        actor_loss=policy_loss,
        entropy=entropy,
        alpha=alpha,
        alpha_loss=alpha_loss,
    )
