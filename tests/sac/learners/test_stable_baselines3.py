"""Our SAC beside Stable-Baselines3's: same weights, batch and noise, same losses, same update.

Three differences are meant (docs, algorithms) and are undone here, in their code, not in ours:
the 1e-6 inside the logarithm of the change of variables; the factor 1/2 of the critics' loss, to
which Adam's epsilon is fitted; and log alpha in place of alpha before the temperature's loss.
"""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from stable_baselines3 import SAC
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.replay.replay_buffer import Batch

OBS_DIM, ACTION_DIM, B = 5, 3, 64
HIDDEN = (32, 24)
INITIAL_ALPHA = 0.7
RELATIVE = 1e-5
ADAM_EPSILON = 1e-8


class SpacesOnly(gymnasium.Env):
    """Stable-Baselines3 wants an environment to know the dimensions."""

    observation_space = Box(-np.inf, np.inf, (OBS_DIM,), np.float32)
    action_space = Box(-1.0, 1.0, (ACTION_DIM,), np.float32)


@pytest.fixture
def learner() -> SACLearner:
    config = SACConfig(hidden_sizes=HIDDEN, batch_size=B, initial_alpha=INITIAL_ALPHA)
    learner = SACLearner(OBS_DIM, ACTION_DIM, config, seed=3)
    state = learner.state()
    rng = torch.Generator().manual_seed(4)
    # New targets equal their critics, and would hide how far they move.
    for name, tensor in state.tensors.items():
        if name.startswith("critic_target"):
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=rng))
    learner.restore(state)
    return learner


@pytest.fixture
def reference(learner: SACLearner) -> SAC:
    """Return their model with the learner's weights."""
    model = SAC(
        "MlpPolicy",
        SpacesOnly(),
        learning_rate=3e-4,
        batch_size=B,
        ent_coef=f"auto_{INITIAL_ALPHA}",
        policy_kwargs={"net_arch": list(HIDDEN)},
        device="cpu",
    )
    model.set_logger(_NoLogger())
    model.policy.load_state_dict(their_state(learner))
    model.actor.action_dist.epsilon = 0.0
    # Adam divides by the gradient's size plus epsilon: half the gradient, half the epsilon.
    set_epsilon(model.critic.optimizer, ADAM_EPSILON / 2.0)
    # Theirs descends log alpha, ours alpha: their gradient is 1 / alpha of ours.
    set_epsilon(model.ent_coef_optimizer, ADAM_EPSILON / INITIAL_ALPHA)
    return model


class _NoLogger:
    def record(self, *_: object, **__: object) -> None:
        """Forget."""


def set_epsilon(optimizer: torch.optim.Optimizer, epsilon: float) -> None:
    optimizer.param_groups[0]["eps"] = epsilon


def their_state(learner: SACLearner) -> dict[str, Tensor]:
    """Return the learner's weights under the names of their policy."""
    ours = learner.state().tensors
    state = {}
    for layer in (0, 2):
        for kind in ("weight", "bias"):
            state[f"actor.latent_pi.{layer}.{kind}"] = ours[f"actor.trunk.{layer}.{kind}"]
    for kind in ("weight", "bias"):
        head = ours[f"actor.head.{kind}"]
        state[f"actor.mu.{kind}"], state[f"actor.log_std.{kind}"] = head.chunk(2)
    for network in ("critic", "critic_target"):
        for member in range(2):
            for layer in range(3):
                prefix = f"{network}.qf{member}.{2 * layer}"
                state[f"{prefix}.weight"] = ours[f"{network}.weights.{layer}"][member].T
                state[f"{prefix}.bias"] = ours[f"{network}.biases.{layer}"][member, 0]
    return state


def make_batch() -> Batch:
    rng = torch.Generator().manual_seed(1)
    return Batch(
        obs=torch.randn(B, OBS_DIM, generator=rng),
        action=torch.rand(B, ACTION_DIM, generator=rng) * 2 - 1,
        reward=torch.randn(B, generator=rng),
        next_obs=torch.randn(B, OBS_DIM, generator=rng),
        terminated=torch.rand(B, generator=rng) < 0.3,
    )


def noise_of(learner: SACLearner) -> tuple[Tensor, Tensor]:
    """Return what the next update will draw for the target's actions and for the actor's."""
    rng = torch.Generator()
    rng.set_state(learner.state().tensors["update_generator"])
    target_noise, actor_noise = torch.randn(2, B, ACTION_DIM, generator=rng)
    return target_noise, actor_noise


def update_theirs(model: SAC, batch: Batch, noise: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Take one step of theirs; return what it logs."""
    samples = ReplayBufferSamples(
        observations=batch.obs,
        actions=batch.action,
        next_observations=batch.next_obs,
        dones=batch.terminated.float()[:, None],
        rewards=batch.reward[:, None],
    )
    target_noise, actor_noise = noise
    draws = iter((actor_noise, target_noise))  # in their order
    logged: dict[str, float] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.replay_buffer, "sample", lambda *_, **__: samples)
        patch.setattr("torch.distributions.normal._standard_normal", lambda *_, **__: next(draws))
        patch.setattr(
            model._logger, "record", lambda name, value, **_: logged.update({name: value})
        )
        model.train(gradient_steps=1, batch_size=B)
    assert next(draws, None) is None
    return logged


def test_one_update_changes_every_weight_as_theirs_does(
    learner: SACLearner, reference: SAC
) -> None:
    batch = make_batch()
    before = learner.state().tensors["log_alpha"]
    update_theirs(reference, batch, noise_of(learner))
    learner.update(batch)

    theirs = reference.policy.state_dict()
    for name, ours in their_state(learner).items():
        # The step itself is 3e-4 for the networks: the same to a thousandth of it.
        torch.testing.assert_close(ours, theirs[name], rtol=0.0, atol=3e-7, msg=name)
    log_alpha = learner.state().tensors["log_alpha"]
    torch.testing.assert_close(log_alpha, reference.log_ent_coef.detach()[0], rtol=RELATIVE, atol=0)
    assert log_alpha != before


def test_losses_are_theirs(learner: SACLearner, reference: SAC) -> None:
    batch = make_batch()
    logged = update_theirs(reference, batch, noise_of(learner))
    metrics = learner.update(batch)

    assert 0.5 * (metrics.qf1_loss + metrics.qf2_loss) == pytest.approx(
        logged["train/critic_loss"], rel=RELATIVE
    )
    assert metrics.actor_loss == pytest.approx(logged["train/actor_loss"], rel=RELATIVE)
    assert metrics.alpha == pytest.approx(logged["train/ent_coef"], rel=RELATIVE)
    ratio = INITIAL_ALPHA / np.log(INITIAL_ALPHA)
    assert metrics.alpha_loss == pytest.approx(ratio * logged["train/ent_coef_loss"], rel=RELATIVE)


def test_updates_stay_together(learner: SACLearner, reference: SAC) -> None:
    """Fifty steps later the Q values still agree: no state that only one of them carries."""
    batch = make_batch()
    for _ in range(50):
        logged = update_theirs(reference, batch, noise_of(learner))
        metrics = learner.update(batch)

    assert metrics.actor_loss == pytest.approx(logged["train/actor_loss"], rel=1e-3)
    assert metrics.alpha == pytest.approx(logged["train/ent_coef"], rel=1e-4)
