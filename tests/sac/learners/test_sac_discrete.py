import math

import pytest
import torch
from torch import Tensor, nn

from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.learners.sac_discrete import SACDiscreteLearner
from sac_ros.sac.learners.sac_discrete_losses import (
    actor_loss,
    critic_loss,
    soft_target,
    temperature_loss,
)
from sac_ros.sac.networks.discrete_networks import CategoricalActor, DiscreteCritics
from sac_ros.sac.networks.nature_cnn import ImageShapeError, NatureCNN
from sac_ros.sac.replay.replay_buffer import Batch

B, OBS_DIM, K = 6, 4, 3
CHOICES = ((-1.0,), (0.0,), (0.5,))
ALPHA, GAMMA = torch.tensor(0.3), 0.9


@pytest.fixture
def actor() -> CategoricalActor:
    torch.manual_seed(0)
    return CategoricalActor("mlp", OBS_DIM, (16,), CHOICES)


@pytest.fixture
def critic() -> DiscreteCritics:
    torch.manual_seed(1)
    return DiscreteCritics("mlp", OBS_DIM, (16,), K, num_critics=2)


def make_batch(terminated: bool = False) -> Batch:
    rng = torch.Generator().manual_seed(3)
    return Batch(
        obs=torch.randn(B, OBS_DIM, generator=rng),
        action=torch.tensor(CHOICES)[torch.arange(B) % K],
        reward=torch.arange(B, dtype=torch.float32),
        next_obs=torch.randn(B, OBS_DIM, generator=rng),
        terminated=torch.full((B,), terminated),
    )


def test_target_is_the_expectation_over_every_choice(
    actor: CategoricalActor, critic: DiscreteCritics
) -> None:
    batch = make_batch()

    target_q = soft_target(batch, actor, critic, ALPHA, GAMMA)

    probability = torch.softmax(actor(batch.next_obs), dim=-1).detach()
    q1, q2 = critic(batch.next_obs).detach()
    for row in range(B):
        value = sum(
            probability[row, k]
            * (min(q1[row, k], q2[row, k]) - ALPHA * math.log(probability[row, k]))
            for k in range(K)
        )
        torch.testing.assert_close(target_q[row], batch.reward[row] + GAMMA * value)
    assert not target_q.requires_grad


def test_target_of_a_terminated_step_is_its_reward(
    actor: CategoricalActor, critic: DiscreteCritics
) -> None:
    batch = make_batch(terminated=True)

    assert torch.equal(soft_target(batch, actor, critic, ALPHA, GAMMA), batch.reward)


def test_critic_loss_judges_the_choice_that_was_executed(critic: DiscreteCritics) -> None:
    batch, target_q = make_batch(), torch.linspace(-1.0, 1.0, B)
    choice = torch.tensor([2, 0, 1, 1, 0, 2])

    losses, q = critic_loss(batch, choice, target_q, critic)

    values = critic(batch.obs)
    for member in range(2):
        for row in range(B):
            assert q[member, row] == values[member, row, choice[row]]
        expected = sum((q[member, row] - target_q[row]) ** 2 for row in range(B)) / B
        torch.testing.assert_close(losses[member], expected)


def test_actor_loss_is_the_expected_alpha_logp_minus_q_and_teaches_the_actor_alone(
    actor: CategoricalActor, critic: DiscreteCritics
) -> None:
    batch = make_batch()

    loss, entropy = actor_loss(batch, actor, critic, ALPHA)
    loss.backward()

    distribution = torch.distributions.Categorical(logits=actor(batch.obs))
    q1, q2 = critic(batch.obs)
    expected_q = (distribution.probs * torch.minimum(q1, q2)).sum(dim=-1)
    torch.testing.assert_close(entropy, distribution.entropy())
    torch.testing.assert_close(loss, (-ALPHA * distribution.entropy() - expected_q).mean())
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert all(parameter.grad is not None for parameter in actor.parameters())


@pytest.mark.parametrize(("entropy", "direction"), [(1.0, 1.0), (0.2, -1.0)])
def test_alpha_falls_when_entropy_is_above_its_target_and_rises_below(
    entropy: float, direction: float
) -> None:
    log_alpha = torch.tensor(0.5, requires_grad=True)

    temperature_loss(log_alpha, torch.full((8,), entropy), target_entropy=0.5).backward()

    assert log_alpha.grad is not None
    assert log_alpha.grad.item() * direction > 0.0


def test_an_action_between_two_choices_counts_as_the_nearer(actor: CategoricalActor) -> None:
    action = torch.tensor([[-1.0], [0.0], [0.5], [-0.6], [-0.4], [0.3], [1.0]])

    assert actor.choice_indices(action).tolist() == [0, 1, 2, 0, 1, 2, 2]


def test_actions_are_choices_drawn_by_their_probability(actor: CategoricalActor) -> None:
    obs = torch.randn(1, OBS_DIM, generator=torch.Generator().manual_seed(5)).expand(20_000, -1)

    drawn = actor.choice_indices(actor.sample(obs, torch.Generator().manual_seed(6)))

    share = torch.bincount(drawn, minlength=K) / len(drawn)
    torch.testing.assert_close(share, torch.softmax(actor(obs[0]), dim=-1), atol=0.02, rtol=0.0)
    assert actor.mode(obs[:1]).item() == CHOICES[int(actor(obs[0]).argmax())][0]


def test_weights_are_drawn_as_he_proposes() -> None:
    torch.manual_seed(0)
    critics = DiscreteCritics("nature_cnn", 4 * 84 * 84, (512,), K, num_critics=1)

    for module in critics.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(2.0 / fan_in), rel=0.1)
            assert not module.bias.any()


def test_images_are_seen_the_same_as_bytes_and_as_floats() -> None:
    torch.manual_seed(0)
    network = NatureCNN(2 * 84 * 84)
    pixels = torch.randint(0, 256, (3, 2 * 84 * 84), dtype=torch.uint8)

    features = network(pixels)

    assert features.shape == (3, network.width)
    assert torch.equal(features, network(pixels.float()))


@pytest.mark.parametrize("obs_dim", [4, 84 * 84 - 1, 0])
def test_network_for_images_refuses_what_are_none(obs_dim: int) -> None:
    with pytest.raises(ImageShapeError, match="84 x 84"):
        NatureCNN(obs_dim)


@pytest.mark.parametrize("interval", [1, 3])
def test_targets_move_every_so_many_updates(interval: int) -> None:
    config = SACDiscreteConfig(
        hidden_sizes=(8,), batch_size=B, tau=1.0, target_update_interval=interval
    )
    learner = SACDiscreteLearner(OBS_DIM, CHOICES, config, seed=0)
    moved = []
    for _ in range(6):
        before = learner.state().tensors["critic_target.members.0.0.weight"]
        learner.update(make_batch())
        after = learner.state().tensors
        moved.append(not torch.equal(before, after["critic_target.members.0.0.weight"]))
        if moved[-1]:
            equal(after["critic_target.members.0.0.weight"], after["critic.members.0.0.weight"])

    assert moved == [number % interval == 0 for number in range(1, 7)]


def equal(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_target_entropy_is_a_share_of_the_greatest(scale: float) -> None:
    config = SACDiscreteConfig(hidden_sizes=(8,), batch_size=B, target_entropy_scale=scale)
    metrics = SACDiscreteLearner(OBS_DIM, CHOICES, config, seed=0).update(make_batch())

    # Eq. 11 at log alpha = 0: entropy minus target.
    assert metrics.alpha_loss == pytest.approx(metrics.entropy - scale * math.log(K), abs=1e-6)


@pytest.mark.parametrize("fixed_alpha", [0.0, 0.2])
def test_fixed_alpha_stays_fixed(fixed_alpha: float) -> None:
    config = SACDiscreteConfig(hidden_sizes=(8,), batch_size=B, fixed_alpha=fixed_alpha)
    learner = SACDiscreteLearner(OBS_DIM, CHOICES, config, seed=0)

    for _ in range(3):
        metrics = learner.update(make_batch())
        assert metrics.alpha == pytest.approx(fixed_alpha)
        assert math.isfinite(metrics.actor_loss)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_entropy_scale", 0.0),
        ("target_entropy_scale", 1.1),
        ("target_update_interval", 0),
        ("adam_epsilon", 0.0),
        ("alpha_learning_rate", -1.0),
        ("initial_alpha", 0.0),
        ("fixed_alpha", -0.1),
    ],
)
def test_bad_value_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        SACDiscreteConfig(**{name: value})
