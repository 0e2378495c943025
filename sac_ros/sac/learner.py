"""Soft Actor-Critic: one gradient step after another on batches that somebody else chose.

Shapes: B batch, O obs_dim, A action_dim, N critics, n observations at once.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sac_ros.sac.losses import actor_loss, critic_loss, soft_target, temperature_loss
from sac_ros.sac.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.replay_buffer import Batch
from sac_ros.sac.sac_config import SACConfig


@dataclass(frozen=True, kw_only=True)
class SACMetrics:
    """What one update saw; means are over the batch, before the step was taken."""

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
    """Temperature that weighed the entropy in this update."""
    alpha_loss: float
    """Temperature objective, eq. 18; it is only reported when alpha is fixed."""


@dataclass(frozen=True, kw_only=True)
class LearnerState:
    """Everything that the next update depends on, besides its batch."""

    num_updates: int
    tensors: Mapping[str, Tensor]


class SACLearner:
    """Networks, targets, temperature, their optimisers and the randomness of one SAC run."""

    def __init__(
        self, obs_dim: int, action_dim: int, config: SACConfig, seed: int, device: str = "cpu"
    ) -> None:
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.config = config
        self.num_updates = 0
        self._device = torch.device(device)
        weights_seed, update_seed, act_seed = (
            int(word) for word in np.random.SeedSequence(seed).generate_state(3, np.uint64)
        )
        # Acting and updating have a stream each: how often a robot acts between two updates must
        # not change what an update draws.
        self._update_generator = torch.Generator(self._device).manual_seed(update_seed)
        self._act_generator = torch.Generator(self._device).manual_seed(act_seed)

        # Made on the CPU from a stream of their own: the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(weights_seed)
            actor = SquashedGaussianActor(obs_dim, action_dim, config.hidden_sizes)
            critic = CriticEnsemble(obs_dim, action_dim, config.hidden_sizes, config.num_critics)
        self.actor = actor.to(self._device)
        self._critic = critic.to(self._device)
        self._critic_target = copy.deepcopy(self._critic).requires_grad_(False)

        alpha = config.initial_alpha if config.fixed_alpha is None else config.fixed_alpha
        # A fixed temperature of 0 is plain, entropy-free learning: its logarithm is -inf, exp 0.
        log_alpha = math.log(alpha) if alpha > 0.0 else -math.inf
        self._log_alpha = nn.Parameter(torch.tensor(log_alpha, device=self._device))
        self._target_entropy = (
            -float(action_dim) if config.target_entropy is None else config.target_entropy
        )

        self._critic_optimizer = _adam(self._critic.parameters(), config.critic_learning_rate)
        self._actor_optimizer = _adam(self.actor.parameters(), config.actor_learning_rate)
        self._alpha_optimizer = _adam([self._log_alpha], config.alpha_learning_rate)

    @property
    def alpha(self) -> Tensor:
        """The entropy temperature, a scalar without gradient."""
        return self._log_alpha.detach().exp()

    def act(self, obs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sample an action [n, A], in [-1, 1], for each observation [n, O]."""
        with torch.no_grad():
            action, _ = self.actor.sample(
                torch.from_numpy(obs).to(self._device), self._act_generator
            )
        result: npt.NDArray[np.float32] = action.cpu().numpy()
        return result

    def update(self, batch: Batch) -> SACMetrics:
        """Take one gradient step on critic, actor and temperature, in the paper's order."""
        target_noise, actor_noise = self._draw_noise(len(batch.obs))
        alpha = self.alpha
        qf_losses, q = self._update_critic(batch, target_noise, alpha)
        policy_loss, logp = self._update_actor(batch, actor_noise, alpha)
        alpha_loss = self._update_temperature(logp)
        self._move_targets()
        self.num_updates += 1
        return _metrics(qf_losses, q, policy_loss, logp, alpha, alpha_loss)

    def state(self) -> LearnerState:
        """Return a copy of all that the next update depends on."""
        tensors = {
            f"{part}.{name}": tensor
            for part, module in self._modules().items()
            for name, tensor in module.state_dict().items()
        }
        for part, optimizer in self._optimizers().items():
            for index, moments in optimizer.state_dict()["state"].items():
                for name, tensor in moments.items():
                    tensors[f"{part}.{index}.{name}"] = tensor
        tensors["log_alpha"] = self._log_alpha.detach()
        tensors["update_generator"] = self._update_generator.get_state()
        tensors["act_generator"] = self._act_generator.get_state()
        copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        return LearnerState(num_updates=self.num_updates, tensors=copies)

    def restore(self, state: LearnerState) -> None:
        """Become the learner that `state` was taken from; it must have the same networks."""
        tensors = state.tensors
        for part, module in self._modules().items():
            module.load_state_dict(_below(part, tensors))
        for part, optimizer in self._optimizers().items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(part, tensors).items():
                index, _, moment = name.partition(".")
                moments.setdefault(int(index), {})[moment] = tensor
            # The learning rates stay those of this learner's config.
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
        with torch.no_grad():
            self._log_alpha.copy_(tensors["log_alpha"])
        self._update_generator.set_state(tensors["update_generator"])
        self._act_generator.set_state(tensors["act_generator"])
        self.num_updates = state.num_updates

    def _modules(self) -> dict[str, nn.Module]:
        return {"actor": self.actor, "critic": self._critic, "critic_target": self._critic_target}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "actor_optimizer": self._actor_optimizer,
            "critic_optimizer": self._critic_optimizer,
            "alpha_optimizer": self._alpha_optimizer,
        }

    def _draw_noise(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return standard normal noise [B, A] for the target's actions and for the actor's."""
        shape = (2, batch_size, self.action_dim)
        noise = torch.randn(shape, generator=self._update_generator, device=self._device)
        return noise[0], noise[1]

    def _update_critic(self, batch: Batch, noise: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        target_q = soft_target(
            batch, noise, self.actor, self._critic_target, alpha, self.config.gamma
        )
        losses, q = critic_loss(batch, target_q, self._critic)
        # The critics share no weight: descending the sum descends each one.
        _descend(self._critic_optimizer, losses.sum())
        return losses, q

    def _update_actor(self, batch: Batch, noise: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        loss, logp = actor_loss(batch, noise, self.actor, self._critic, alpha)
        _descend(self._actor_optimizer, loss)
        return loss, logp

    def _update_temperature(self, logp: Tensor) -> Tensor:
        loss = temperature_loss(self._log_alpha, logp, self._target_entropy)
        if self.config.fixed_alpha is None:
            _descend(self._alpha_optimizer, loss)
        return loss

    def _move_targets(self) -> None:
        # One call for all tensors; private in name only, torch.optim.swa_utils averages with it.
        torch._foreach_lerp_(
            list(self._critic_target.parameters()),
            [parameter.detach() for parameter in self._critic.parameters()],
            self.config.tau,
        )


def _adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Step the optimiser's own parameters; whatever else the loss touches gets no gradient."""
    parameters = optimizer.param_groups[0]["params"]
    optimizer.zero_grad()
    # Without `inputs` the actor's loss would also compute the critic's gradients, and leave them.
    torch.autograd.backward(loss, inputs=parameters)
    optimizer.step()


def _metrics(
    qf_losses: Tensor,
    q: Tensor,
    policy_loss: Tensor,
    logp: Tensor,
    alpha: Tensor,
    alpha_loss: Tensor,
) -> SACMetrics:
    # One transfer: on a GPU every .item() waits for the device.
    values = torch.stack(
        (
            qf_losses[0],
            qf_losses[1],
            qf_losses.mean(),
            q.mean(),
            policy_loss,
            -logp.mean(),
            alpha,
            alpha_loss,
        )
    ).tolist()
    return SACMetrics(
        qf1_loss=values[0],
        qf2_loss=values[1],
        qf_loss=values[2],
        q_mean=values[3],
        actor_loss=values[4],
        entropy=values[5],
        alpha=values[6],
        alpha_loss=values[7],
    )


def _below(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
