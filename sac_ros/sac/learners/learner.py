"""Soft Actor-Critic with a learned temperature (arXiv 1812.05905): the gradient step.

The caller samples the batches.

Shapes: B batch, O obs_dim, A action_dim, N critics, n observations at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sac_ros.sac.compute.adam import Adam
from sac_ros.sac.compute.execution import REFERENCE, Execution
from sac_ros.sac.compute.precision import matmul_precision
from sac_ros.sac.compute.update_function import UpdateFunction
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner_parts import (
    LearnerParts,
    independent_seeds,
    initial_log_alpha,
    make_target,
    polyak_update,
)
from sac_ros.sac.learners.losses import actor_loss, critic_loss, soft_target, temperature_loss
from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.replay.replay_buffer import Batch


@dataclass(frozen=True, kw_only=True)
class SACMetrics:
    """Metrics of one update, computed before the step; means are over the batch."""

    qf1_loss: float
    """Soft Bellman residual of the first critic."""
    qf2_loss: float
    """Soft Bellman residual of the second critic."""
    qf_loss: float
    """Mean of the residuals of all critics."""
    q_mean: float
    """Mean Q value of the batch's own actions, over all critics."""
    actor_loss: float
    """Mean of alpha * logp - min Q at actions drawn from the actor."""
    entropy: float
    """Mean of -logp of those actions, nats."""
    alpha: float
    """Entropy temperature used in this update."""
    alpha_loss: float
    """Temperature objective, eq. 18; logged but not minimised when alpha is fixed."""


@dataclass(frozen=True, kw_only=True)
class LearnerState:
    """Everything that determines the next update, except the batch."""

    num_updates: int
    tensors: Mapping[str, Tensor]


class SACLearner:
    """Networks, target networks, temperature, optimisers and random generators of one SAC run."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        config: SACConfig,
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
            critic = CriticEnsemble(
                obs_dim,
                action_dim,
                config.hidden_sizes,
                config.num_critics,
                config.critic_layer_norm,
            )
        self.actor = actor.to(self._device)
        self._critic = critic.to(self._device)
        self._critic_target = make_target(self._critic)

        log_alpha = initial_log_alpha(config.initial_alpha, config.fixed_alpha)
        self._log_alpha = nn.Parameter(torch.tensor(log_alpha, device=self._device))
        self._target_entropy = (
            -float(action_dim) if config.target_entropy is None else config.target_entropy
        )

        self._critic_optimizer = Adam(self._critic.parameters(), config.critic_learning_rate)
        self._actor_optimizer = Adam(self.actor.parameters(), config.actor_learning_rate)
        self._alpha_optimizer = Adam([self._log_alpha], config.alpha_learning_rate)
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
            generators={
                "update_generator": self._update_generator,
                "act_generator": self._act_generator,
            },
            parameters={"log_alpha": self._log_alpha},
        )
        self._take_step = UpdateFunction(
            self._step, tuple(self._parts.optimizers.values()), execution
        )

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature, a scalar without gradient."""
        return self._log_alpha.detach().exp()

    def set_actor_learning_rate(self, learning_rate: float) -> None:
        """Change the actor's step size; Adam's moments are kept."""
        self._actor_optimizer.learning_rate = learning_rate

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample an action [n, A], in [-1, 1], for each observation [n, O]."""
        with torch.no_grad():
            action, _ = self.actor.sample(
                torch.from_numpy(obs).to(self._device), self._act_generator
            )
        result: npt.NDArray[np.float32] = action.cpu().numpy()
        return result

    def update(self, batch: Batch) -> SACMetrics:
        """Take one gradient step on critic, actor and temperature."""
        reported = self._take_step(*batch, self._draw_noise(len(batch.obs)))
        self.num_updates += 1
        return _metrics(reported)

    def state(self) -> LearnerState:
        """Return a copy of everything that determines the next update."""
        return LearnerState(num_updates=self.num_updates, tensors=self._parts.tensors())

    def restore(self, state: LearnerState) -> None:
        """Restore a saved state; the network sizes must be the same."""
        self._parts.restore(state.tensors)
        self.num_updates = state.num_updates

    def _draw_noise(self, batch_size: int) -> Tensor:
        """Draw standard normal noise [2, B, A]: for the actions of the target, then the actor's."""
        shape = (2, batch_size, self.action_dim)
        return torch.randn(shape, generator=self._update_generator, device=self._device)

    def _step(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """Step critic, actor and temperature, in the paper's order; return the metrics [8].

        The batch is passed as separate tensors, and all randomness as `noise` [2, B, A], because
        torch.compile compiles this function as a whole.
        """
        batch = Batch(obs, action, reward, next_obs, terminated)
        target_noise, actor_noise = noise
        alpha = self.alpha

        with matmul_precision(self._precision, self._device):
            target_q = soft_target(
                batch, target_noise, self.actor, self._critic_target, alpha, self.config.gamma
            )
            qf_losses, q = critic_loss(batch, target_q, self._critic)
        # The critics share no weights: the gradient of the sum is each critic's own gradient.
        self._critic_optimizer.descend(qf_losses.sum())

        with matmul_precision(self._precision, self._device):
            policy_loss, logp = actor_loss(batch, actor_noise, self.actor, self._critic, alpha)
        self._actor_optimizer.descend(policy_loss)

        alpha_loss = temperature_loss(self._log_alpha, logp, self._target_entropy)
        if self.config.fixed_alpha is None:
            self._alpha_optimizer.descend(alpha_loss)

        polyak_update(self._critic_target, self._critic, self.config.tau)
        means = (*qf_losses[:2], qf_losses.mean(), q.mean())
        return torch.stack((*means, policy_loss, -logp.mean(), alpha, alpha_loss)).detach()


def _metrics(reported: list[float]) -> SACMetrics:
    names = ("qf1_loss", "qf2_loss", "qf_loss", "q_mean", "actor_loss", "entropy", "alpha")
    return SACMetrics(**dict(zip((*names, "alpha_loss"), reported, strict=True)))
