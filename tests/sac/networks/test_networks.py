import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from sac_ros.sac.networks.networks import (
    LOG_STD_MAX,
    LOG_STD_MIN,
    CriticEnsemble,
    SquashedGaussianActor,
    squash,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_logp_integrates_to_one_over_the_action_interval() -> None:
    """The change of variables: a density of the squashed action, not of the Gaussian."""
    mean, log_std = torch.tensor([[0.4]]), torch.tensor([[-0.5]])
    action = torch.linspace(-0.999999, 0.999999, 200_001, dtype=torch.float64)
    noise = (torch.atanh(action) - 0.4) / math.exp(-0.5)

    _, logp = squash(mean.double(), log_std.double(), noise.unsqueeze(1))

    assert torch.trapezoid(logp.exp(), action).item() == pytest.approx(1.0, abs=1e-4)


def test_logp_equals_that_of_torch_distributions() -> None:
    rng = generator()
    mean = torch.randn(100, 3, generator=rng, dtype=torch.float64)
    log_std = 0.5 * torch.randn(100, 3, generator=rng, dtype=torch.float64)
    noise = torch.randn(100, 3, generator=rng, dtype=torch.float64)

    action, logp = squash(mean, log_std, noise)

    # The cache keeps the value before tanh, which float64 cannot give back from an action near 1.
    reference = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform(cache_size=1))
    reference_action = reference.transforms[0](mean + log_std.exp() * noise)
    torch.testing.assert_close(action, reference_action)
    torch.testing.assert_close(logp, reference.log_prob(reference_action).sum(-1))


@pytest.mark.parametrize("mean", [-50.0, -9.5, 9.5, 50.0])
@pytest.mark.parametrize("log_std", [LOG_STD_MIN, LOG_STD_MAX])
def test_logp_and_its_gradient_stay_finite_where_tanh_saturates(
    mean: float, log_std: float
) -> None:
    means = torch.full((4, 2), mean, requires_grad=True)
    log_stds = torch.full((4, 2), log_std, requires_grad=True)

    _, logp = squash(means, log_stds, torch.randn(4, 2, generator=generator()))
    logp.sum().backward()

    assert logp.isfinite().all()
    assert means.grad is not None and means.grad.isfinite().all()
    assert log_stds.grad is not None and log_stds.grad.isfinite().all()


def test_log_std_is_bounded_for_any_observation() -> None:
    actor = SquashedGaussianActor(obs_dim=3, action_dim=2, hidden_sizes=(8,))

    _, log_std = actor(1e6 * torch.randn(500, 3, generator=generator()))

    assert log_std.min() == LOG_STD_MIN
    assert log_std.max() == LOG_STD_MAX


def test_sample_repeats_with_its_generator() -> None:
    actor = SquashedGaussianActor(obs_dim=3, action_dim=2, hidden_sizes=(8,))
    obs = torch.randn(5, 3, generator=generator())

    first, second = actor.sample(obs, generator(1)), actor.sample(obs, generator(1))
    other, _ = actor.sample(obs, generator(2))

    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other)


def test_mode_is_the_sample_without_noise() -> None:
    actor = SquashedGaussianActor(obs_dim=3, action_dim=2, hidden_sizes=(8,))
    obs = torch.randn(5, 3, generator=generator())

    action, _ = actor.reparameterize(obs, torch.zeros(5, 2))

    assert torch.equal(actor.mode(obs), action)


def test_each_critic_equals_a_network_of_its_own_weights() -> None:
    critic = CriticEnsemble(obs_dim=3, action_dim=2, hidden_sizes=(16, 8), num_critics=3)
    obs, action = torch.randn(7, 3), torch.rand(7, 2)

    q = critic(obs, action)

    assert q.shape == (3, 7)
    for member in range(3):
        layers: list[nn.Module] = []
        for weight, bias in zip(critic.weights, critic.biases, strict=True):
            linear = nn.Linear(weight.shape[1], weight.shape[2])
            linear.weight.data, linear.bias.data = weight[member].T, bias[member, 0]
            layers += [linear, nn.ReLU()]
        alone = nn.Sequential(*layers[:-1])
        expected = alone(torch.cat((obs, action), dim=1)).squeeze(1)
        torch.testing.assert_close(q[member], expected)


def test_normalised_critic_equals_a_network_with_layer_norm_of_its_own() -> None:
    critic = CriticEnsemble(
        obs_dim=3, action_dim=2, hidden_sizes=(16, 8), num_critics=3, layer_norm=True
    )
    with torch.no_grad():
        for parameter in critic.norms.parameters():  # else scale and shift are those of no norm
            parameter += torch.randn(parameter.shape, generator=generator())
    obs, action = torch.randn(7, 3), torch.rand(7, 2)

    q = critic(obs, action)

    for member in range(3):
        x = torch.cat((obs, action), dim=1)
        *hidden, last = zip(critic.weights, critic.biases, strict=True)
        for (weight, bias), norm in zip(hidden, critic.norms, strict=True):
            layer_norm = nn.LayerNorm(weight.shape[2])
            layer_norm.weight.data = norm.scale[member, 0]  # type: ignore[union-attr,index]
            layer_norm.bias.data = norm.shift[member, 0]  # type: ignore[union-attr,index]
            x = torch.relu(layer_norm(x @ weight[member] + bias[member]))
        expected = (x @ last[0][member] + last[1][member]).squeeze(1)
        torch.testing.assert_close(q[member], expected)


def test_normalised_critic_stays_bounded_where_nothing_has_been_tried() -> None:
    torch.manual_seed(0)
    plain, normalised = (
        CriticEnsemble(3, 2, (64, 64), num_critics=2, layer_norm=layer_norm)
        for layer_norm in (False, True)
    )
    far = torch.full((1, 3), 1e6), torch.zeros(1, 2)

    assert plain(*far).abs().min() > 1e3
    assert normalised(*far).abs().max() < 10.0


def test_each_critic_starts_as_linear_layers_do_and_unlike_the_others() -> None:
    critic = CriticEnsemble(obs_dim=20, action_dim=5, hidden_sizes=(400,), num_critics=2)
    linear = nn.Linear(25, 400)

    for mine, theirs in ((critic.weights[0], linear.weight), (critic.biases[0], linear.bias)):
        # Uniform in +-1/sqrt(25): standard deviation 0.2 / sqrt(3).
        assert mine.abs().max().item() <= 0.2
        assert mine.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
        assert not torch.equal(mine[0], mine[1])
