import pytest
import torch
from torch import Tensor, nn

from sac_ros.sac.config.sac_v1_config import SACV1Config
from sac_ros.sac.learners.sac_v1 import SACV1Learner
from sac_ros.sac.learners.sac_v1_losses import actor_loss, bellman_target, value_loss
from sac_ros.sac.replay.replay_buffer import Batch

B = 4
Q, LOGP = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, -0.5, 1.0, 0.0])


class FirstEntry(nn.Module):
    """A value that can be recognised: the first entry of the observation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, obs: Tensor) -> Tensor:
        return self.weight * obs[:, 0]


def make_batch(terminated: bool = False) -> Batch:
    return Batch(
        obs=torch.arange(B, dtype=torch.float32)[:, None],
        action=torch.zeros(B, 1),
        reward=torch.arange(B, dtype=torch.float32) + 10.0,
        next_obs=torch.arange(B, dtype=torch.float32)[:, None] + 100.0,
        terminated=torch.full((B,), terminated),
    )


def test_target_is_the_scaled_reward_and_the_discounted_value_of_what_follows() -> None:
    target_q = bellman_target(make_batch(), FirstEntry(), reward_scale=5.0, gamma=0.9)

    expected = [5.0 * (10.0 + i) + 0.9 * (100.0 + i) for i in range(B)]
    torch.testing.assert_close(target_q, torch.tensor(expected))
    assert not target_q.requires_grad


def test_target_of_a_terminated_step_is_its_scaled_reward() -> None:
    batch = make_batch(terminated=True)

    assert torch.equal(bellman_target(batch, FirstEntry(), 2.0, 0.9), 2.0 * batch.reward)


def test_value_loss_is_the_squared_residual_and_teaches_the_value_alone() -> None:
    value, q, logp = FirstEntry(), Q.clone().requires_grad_(), LOGP.clone().requires_grad_()

    loss, v = value_loss(make_batch(), q, logp, value)
    loss.backward()

    expected = sum((i - (Q[i] - LOGP[i])) ** 2 for i in range(B)) / B
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(v, torch.arange(B, dtype=torch.float32))
    assert value.weight.grad is not None
    assert q.grad is None and logp.grad is None


def test_actor_loss_is_logp_minus_q() -> None:
    expected = ((0.5 - 0.5 + 1.0 + 0.0) - (1.0 + 2.0 + 3.0 + 4.0)) / B

    torch.testing.assert_close(actor_loss(Q, LOGP), torch.tensor(expected))


@pytest.mark.parametrize("tau", [0.005, 1.0])
def test_only_the_value_has_a_target_and_it_moves_by_tau(tau: float) -> None:
    learner = SACV1Learner(3, 2, SACV1Config(hidden_sizes=(16,), batch_size=B, tau=tau), seed=0)
    before = learner.state().tensors
    rng = torch.Generator().manual_seed(0)
    learner.update(
        Batch(
            obs=torch.randn(B, 3, generator=rng),
            action=torch.rand(B, 2, generator=rng),
            reward=torch.randn(B, generator=rng),
            next_obs=torch.randn(B, 3, generator=rng),
            terminated=torch.zeros(B, dtype=torch.bool),
        )
    )
    after = learner.state().tensors

    assert not [name for name in after if name.startswith("critic_target")]
    name = "layers.0.weight"
    start = before[f"value_target.{name}"]
    assert torch.equal(start, before[f"value.{name}"])
    expected = start + tau * (after[f"value.{name}"] - start)
    torch.testing.assert_close(after[f"value_target.{name}"], expected, atol=1e-7, rtol=1e-6)


def test_reward_scale_is_the_inverse_of_the_temperature() -> None:
    learner = SACV1Learner(3, 2, SACV1Config(reward_scale=20.0, hidden_sizes=(16,)), seed=0)

    assert learner.alpha.item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "value"), [("reward_scale", 0.0), ("value_learning_rate", -1.0), ("gamma", 1.0)]
)
def test_bad_value_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        SACV1Config(**{name: value})
