import dataclasses
import math

import numpy as np
import pytest
import torch

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import LearnerState, SACLearner, SACMetrics
from sac_ros.sac.replay.replay_buffer import Batch

OBS_DIM, ACTION_DIM = 3, 2
SMALL = SACConfig(hidden_sizes=(16, 16), batch_size=8)


def make_batch(seed: int, batch_size: int = 8) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(
        obs=torch.randn(batch_size, OBS_DIM, generator=rng),
        action=torch.rand(batch_size, ACTION_DIM, generator=rng) * 2 - 1,
        reward=torch.randn(batch_size, generator=rng),
        next_obs=torch.randn(batch_size, OBS_DIM, generator=rng),
        terminated=torch.rand(batch_size, generator=rng) < 0.2,
    )


def make_learner(seed: int = 0, **changes: object) -> SACLearner:
    return SACLearner(OBS_DIM, ACTION_DIM, dataclasses.replace(SMALL, **changes), seed)


def run(learner: SACLearner, first: int, count: int) -> list[SACMetrics]:
    return [learner.update(make_batch(seed)) for seed in range(first, first + count)]


def assert_same_state(mine: LearnerState, theirs: LearnerState) -> None:
    assert mine.num_updates == theirs.num_updates
    assert mine.tensors.keys() == theirs.tensors.keys()
    for name, tensor in mine.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name


def test_same_seed_and_batches_give_the_same_bits() -> None:
    first, second = make_learner(), make_learner()

    assert run(first, 0, 5) == run(second, 0, 5)
    assert_same_state(first.state(), second.state())


def test_another_seed_gives_another_learner() -> None:
    assert run(make_learner(0), 0, 1) != run(make_learner(1), 0, 1)


def test_making_a_learner_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)

    run(make_learner(), 0, 1)

    assert torch.rand(1) == expected


@pytest.mark.parametrize("num_before", [0, 3])
def test_restored_learner_goes_on_identically(num_before: int) -> None:
    learner = make_learner()
    run(learner, 0, num_before)
    learner.act(np.zeros((1, OBS_DIM), np.float32))
    restored = make_learner(seed=99)

    restored.restore(learner.state())

    obs = np.ones((2, OBS_DIM), np.float32)
    assert np.array_equal(restored.act(obs), learner.act(obs))
    assert run(restored, 10, 3) == run(learner, 10, 3)
    assert_same_state(restored.state(), learner.state())


def test_state_is_a_copy_that_later_updates_do_not_touch() -> None:
    learner = make_learner()
    run(learner, 0, 1)
    before = learner.state()
    kept = {name: tensor.clone() for name, tensor in before.tensors.items()}

    run(learner, 1, 2)

    assert_same_state(before, LearnerState(num_updates=1, tensors=kept))


def test_restored_learner_can_go_back_to_before_its_first_update() -> None:
    learner = make_learner()
    start = learner.state()
    expected = run(learner, 0, 3)

    learner.restore(start)

    assert run(learner, 0, 3) == expected


def test_acting_does_not_change_what_an_update_draws() -> None:
    quiet, acting = make_learner(), make_learner()
    run(quiet, 0, 2)
    run(acting, 0, 1)
    acting.act(np.zeros((5, OBS_DIM), np.float32))
    run(acting, 1, 1)

    assert torch.equal(
        quiet.state().tensors["actor.head.weight"], acting.state().tensors["actor.head.weight"]
    )


def test_act_explores_within_the_action_range() -> None:
    learner = make_learner()
    actions = learner.act(np.zeros((500, OBS_DIM), np.float32))

    assert actions.shape == (500, ACTION_DIM) and actions.dtype == np.float32
    assert (np.abs(actions) <= 1.0).all()
    assert (actions.std(axis=0) > 0.3).all()


def test_update_leaves_no_gradient_behind() -> None:
    learner = make_learner()

    run(learner, 0, 1)

    parameters = (*learner.actor.parameters(), *learner._critic.parameters())
    assert all(parameter.grad is None for parameter in parameters)


@pytest.mark.parametrize("tau", [0.005, 1.0])
def test_target_moves_by_tau_towards_the_critic(tau: float) -> None:
    learner = make_learner(tau=tau)
    before = learner.state().tensors["critic_target.weights.0"]

    run(learner, 0, 1)

    after = learner.state().tensors
    expected = before + tau * (after["critic.weights.0"] - before)
    torch.testing.assert_close(after["critic_target.weights.0"], expected, atol=1e-7, rtol=1e-6)


def test_learned_alpha_starts_where_it_is_told_and_moves() -> None:
    metrics = run(make_learner(initial_alpha=0.2), 0, 2)

    assert metrics[0].alpha == pytest.approx(0.2)
    assert metrics[1].alpha != metrics[0].alpha


@pytest.mark.parametrize("fixed_alpha", [0.0, 0.2])
def test_fixed_alpha_stays_fixed(fixed_alpha: float) -> None:
    learner = make_learner(fixed_alpha=fixed_alpha, initial_alpha=1.0)

    for metrics in run(learner, 0, 5):
        assert metrics.alpha == pytest.approx(fixed_alpha)
        assert all(math.isfinite(value) for value in dataclasses.astuple(metrics))


@pytest.mark.parametrize(("target_entropy", "rises"), [(None, False), (100.0, True)])
def test_alpha_follows_the_target_entropy(target_entropy: float | None, rises: bool) -> None:
    # A fresh actor's entropy is above -2, the default for two actions, and below 100.
    metrics = run(make_learner(target_entropy=target_entropy), 0, 3)

    assert (metrics[-1].alpha > metrics[0].alpha) == rises


def test_metrics_are_what_their_names_say() -> None:
    metrics = make_learner(num_critics=2).update(make_batch(0))

    assert metrics.qf_loss == pytest.approx((metrics.qf1_loss + metrics.qf2_loss) / 2)
    # Eq. 18 at log alpha = 0: entropy minus target.
    assert metrics.alpha_loss == pytest.approx(metrics.entropy + ACTION_DIM, rel=1e-5)


def test_every_one_of_more_critics_than_two_learns() -> None:
    learner = make_learner(num_critics=5)
    before = learner.state().tensors["critic.weights.0"]

    run(learner, 0, 1)

    after = learner.state().tensors["critic.weights.0"]
    assert after.shape[0] == 5
    assert all(not torch.equal(after[member], before[member]) for member in range(5))
