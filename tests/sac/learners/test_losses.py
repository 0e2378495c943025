import pytest
import torch

from sac_ros.sac.learners.losses import actor_loss, critic_loss, soft_target, temperature_loss
from sac_ros.sac.networks.networks import CriticEnsemble, SquashedGaussianActor
from sac_ros.sac.replay.replay_buffer import Batch

B, OBS_DIM, ACTION_DIM = 6, 3, 2
ALPHA, GAMMA = torch.tensor(0.3), 0.9


@pytest.fixture
def actor() -> SquashedGaussianActor:
    torch.manual_seed(0)
    return SquashedGaussianActor(OBS_DIM, ACTION_DIM, (16,))


@pytest.fixture
def critic() -> CriticEnsemble:
    torch.manual_seed(1)
    return CriticEnsemble(OBS_DIM, ACTION_DIM, (16,), num_critics=2)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(B, ACTION_DIM, generator=torch.Generator().manual_seed(2))


def make_batch(terminated: bool) -> Batch:
    rng = torch.Generator().manual_seed(3)
    return Batch(
        obs=torch.randn(B, OBS_DIM, generator=rng),
        action=torch.rand(B, ACTION_DIM, generator=rng) * 2 - 1,
        reward=torch.arange(B, dtype=torch.float32),
        next_obs=torch.randn(B, OBS_DIM, generator=rng),
        terminated=torch.full((B,), terminated),
    )


def test_target_of_a_terminated_step_is_its_reward(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: torch.Tensor
) -> None:
    batch = make_batch(terminated=True)

    assert torch.equal(soft_target(batch, noise, actor, critic, ALPHA, GAMMA), batch.reward)


def test_step_that_did_not_terminate_bootstraps_from_the_lower_critic_and_the_entropy(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: torch.Tensor
) -> None:
    batch = make_batch(terminated=False)

    target_q = soft_target(batch, noise, actor, critic, ALPHA, GAMMA)

    next_action, next_logp = actor.reparameterize(batch.next_obs, noise)
    q1, q2 = critic(batch.next_obs, next_action)
    expected = batch.reward + GAMMA * (torch.minimum(q1, q2) - ALPHA * next_logp)
    torch.testing.assert_close(target_q, expected.detach())


def test_target_carries_no_gradient(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: torch.Tensor
) -> None:
    target_q = soft_target(make_batch(False), noise, actor, critic, ALPHA, GAMMA)

    assert not target_q.requires_grad


def test_critic_loss_is_each_critics_mean_squared_residual(critic: CriticEnsemble) -> None:
    batch = make_batch(False)
    target_q = torch.linspace(-1.0, 1.0, B)

    losses, q = critic_loss(batch, target_q, critic)

    assert losses.shape == (2,)
    for member in range(2):
        expected = sum((q[member, i] - target_q[i]) ** 2 for i in range(B)) / B
        torch.testing.assert_close(losses[member], expected)


def test_actor_loss_is_alpha_logp_minus_the_lower_critic(
    actor: SquashedGaussianActor, critic: CriticEnsemble, noise: torch.Tensor
) -> None:
    batch = make_batch(False)

    loss, logp = actor_loss(batch, noise, actor, critic, ALPHA)

    action, expected_logp = actor.reparameterize(batch.obs, noise)
    q1, q2 = critic(batch.obs, action)
    torch.testing.assert_close(logp, expected_logp)
    torch.testing.assert_close(loss, (ALPHA * logp - torch.minimum(q1, q2)).mean())


@pytest.mark.parametrize(("entropy", "direction"), [(3.0, 1.0), (1.0, -1.0)])
def test_alpha_falls_when_entropy_is_above_its_target_and_rises_below(
    entropy: float, direction: float
) -> None:
    log_alpha = torch.tensor(0.5, requires_grad=True)

    temperature_loss(log_alpha, torch.full((8,), -entropy), target_entropy=2.0).backward()

    # Descent moves against the gradient.
    assert log_alpha.grad is not None
    assert log_alpha.grad.item() * direction > 0.0


def test_alpha_rests_at_the_target() -> None:
    log_alpha = torch.tensor(0.5, requires_grad=True)

    temperature_loss(log_alpha, torch.tensor([-1.0, -3.0]), target_entropy=2.0).backward()

    assert log_alpha.grad is not None
    assert log_alpha.grad.item() == 0.0


def test_temperature_loss_does_not_reach_the_actor() -> None:
    logp = torch.zeros(4, requires_grad=True)

    temperature_loss(torch.tensor(0.0, requires_grad=True), logp, target_entropy=-2.0).backward()

    assert logp.grad is None
