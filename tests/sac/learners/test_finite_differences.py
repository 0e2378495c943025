"""Log-probability, entropy and every loss's gradient, against differences of finite size."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sac_ros.sac.learners import sac_discrete_losses, sac_v1_losses
from sac_ros.sac.learners.losses import actor_loss, critic_loss, temperature_loss
from sac_ros.sac.networks.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor, squash
from sac_ros.sac.networks.value_network import ValueNetwork
from sac_ros.sac.replay.replay_buffer import Batch

B, OBS_DIM, ACTION_DIM = 5, 3, 2
MEAN, LOG_STD = 0.3, -0.6


def logp_at(action: Tensor) -> Tensor:
    """Return our log-probability of one-dimensional actions."""
    noise = (torch.atanh(action) - MEAN) / math.exp(LOG_STD)
    size = (len(action), 1)
    mean, log_std = torch.full(size, MEAN).double(), torch.full(size, LOG_STD).double()
    return squash(mean, log_std, noise[:, None])[1]


def cdf(action: Tensor) -> Tensor:
    """Return the probability that the squashed action is less: that of the Gaussian's."""
    return torch.special.ndtr((torch.atanh(action) - MEAN) / math.exp(LOG_STD))


def test_logp_is_the_slope_of_the_cumulative_distribution() -> None:
    action = torch.linspace(-0.95, 0.95, 39, dtype=torch.float64)
    step = 1e-6

    slope = (cdf(action + step) - cdf(action - step)) / (2.0 * step)

    torch.testing.assert_close(logp_at(action), slope.log(), rtol=0.0, atol=1e-7)


def test_mean_of_minus_logp_is_the_entropy() -> None:
    action = torch.linspace(-0.9999999, 0.9999999, 400_001, dtype=torch.float64)
    logp = logp_at(action)
    entropy = torch.trapezoid(-logp * logp.exp(), action).item()
    noise = torch.randn(1_000_000, 1, generator=torch.Generator().manual_seed(0)).double()

    _, drawn = squash(torch.full_like(noise, MEAN), torch.full_like(noise, LOG_STD), noise)

    error = drawn.std().item() / math.sqrt(len(drawn))
    assert -drawn.mean().item() == pytest.approx(entropy, abs=4.0 * error)


def make_batch() -> Batch:
    rng = torch.Generator().manual_seed(1)
    return Batch(
        obs=torch.randn(B, OBS_DIM, generator=rng).double(),
        action=(torch.rand(B, ACTION_DIM, generator=rng) * 2 - 1).double(),
        reward=torch.randn(B, generator=rng).double(),
        next_obs=torch.randn(B, OBS_DIM, generator=rng).double(),
        terminated=torch.zeros(B, dtype=torch.bool),
    )


def assert_gradient(module: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Move along random directions in weight space: the slope is the gradient's projection."""
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    rng = torch.Generator().manual_seed(2)
    step = 1e-6
    for _ in range(5):
        directions = [torch.randn(p.shape, generator=rng).double() for p in parameters]
        slopes = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.add_(direction, alpha=sign * step)
                slopes.append(sign * loss().item() / (2.0 * step))
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.add_(direction, alpha=-sign * step)
        projection = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
        assert sum(slopes) == pytest.approx(projection, rel=1e-5, abs=1e-8)


@pytest.fixture
def actor() -> SquashedGaussianActor:
    torch.manual_seed(0)
    return SquashedGaussianActor(OBS_DIM, ACTION_DIM, (8,)).double()


@pytest.fixture
def critic() -> CriticEnsemble:
    torch.manual_seed(1)
    return CriticEnsemble(OBS_DIM, ACTION_DIM, (8,), num_critics=2).double()


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(B, ACTION_DIM, generator=torch.Generator().manual_seed(3)).double()


def test_gradient_of_the_actor_loss(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: Tensor
) -> None:
    alpha = torch.tensor(0.3).double()

    assert_gradient(actor, lambda: actor_loss(make_batch(), noise, actor, critic, alpha)[0])


def test_gradient_of_the_critic_loss(critic: CriticEnsemble) -> None:
    target_q = torch.linspace(-1.0, 1.0, B).double()

    assert_gradient(critic, lambda: critic_loss(make_batch(), target_q, critic)[0].sum())


@pytest.mark.parametrize("log_alpha", [-2.0, 0.5])
def test_gradient_of_the_temperature_loss(log_alpha: float) -> None:
    logp, step = torch.linspace(-1.0, 4.0, B).double(), 1e-6
    parameter, above, below = (
        torch.tensor(log_alpha + shift, dtype=torch.float64, requires_grad=True)
        for shift in (0.0, step, -step)
    )

    temperature_loss(parameter, logp, -2.0).backward()

    rise = temperature_loss(above, logp, -2.0) - temperature_loss(below, logp, -2.0)
    assert parameter.grad is not None
    assert parameter.grad.item() == pytest.approx(rise.item() / (2.0 * step), rel=1e-6)


def test_gradient_of_the_actor_loss_of_v1(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: Tensor
) -> None:
    obs = make_batch().obs

    def loss() -> Tensor:
        action, logp = actor.reparameterize(obs, noise)
        return sac_v1_losses.actor_loss(critic(obs, action).amin(dim=0), logp)

    assert_gradient(actor, loss)


def test_gradient_of_the_value_loss_of_v1() -> None:
    torch.manual_seed(2)
    value = ValueNetwork(OBS_DIM, (8,)).double()
    q, logp = torch.linspace(-1.0, 1.0, B).double(), torch.linspace(-2.0, 0.5, B).double()

    assert_gradient(value, lambda: sac_v1_losses.value_loss(make_batch(), q, logp, value)[0])


def test_gradients_of_the_losses_of_sac_discrete() -> None:
    torch.manual_seed(4)
    choices = ((-1.0,), (0.0,), (1.0,))
    actor = CategoricalActor("mlp", OBS_DIM, (8,), choices).double()
    critic = DiscreteCritics("mlp", OBS_DIM, (8,), len(choices), num_critics=2).double()
    alpha, target_q = torch.tensor(0.3).double(), torch.linspace(-1.0, 1.0, B).double()
    choice = torch.arange(B) % len(choices)

    assert_gradient(
        actor, lambda: sac_discrete_losses.actor_loss(make_batch(), actor, critic, alpha)[0]
    )
    assert_gradient(
        critic,
        lambda: sac_discrete_losses.critic_loss(make_batch(), choice, target_q, critic)[0].sum(),
    )
