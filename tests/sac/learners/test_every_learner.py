"""What holds for every algorithm: the same seed, exact resume, and the right soft values."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from sac_ros.sac.config.algorithm_config import CONFIGS, AlgorithmConfig, algorithm_of
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.algorithms import AlgorithmMismatchError, Dimensions, make_learner
from sac_ros.sac.learners.learner_protocol import Learner
from sac_ros.sac.replay.replay_buffer import Batch

OBS_DIM, ACTION_DIM, B = 3, 2, 8
CHOICES = ((-1.0, -1.0), (0.0, 0.5), (1.0, 0.0))


@pytest.fixture(params=[*CONFIGS, "sac, layer-normalised critics"])
def config(request: pytest.FixtureRequest) -> AlgorithmConfig:
    if request.param not in CONFIGS:
        return SACConfig(hidden_sizes=(16, 16), batch_size=B, critic_layer_norm=True)
    return CONFIGS[request.param](hidden_sizes=(16, 16), batch_size=B)


def learner_of(config: AlgorithmConfig, seed: int = 0) -> Learner:
    choices = CHOICES if algorithm_of(config) == "sac_discrete" else None
    dimensions = Dimensions(obs_dim=OBS_DIM, action_dim=ACTION_DIM, choices=choices)
    return make_learner(dimensions, config, seed)


def make_batch(seed: int) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(
        obs=torch.randn(B, OBS_DIM, generator=rng),
        action=torch.rand(B, ACTION_DIM, generator=rng) * 2 - 1,
        reward=torch.randn(B, generator=rng),
        next_obs=torch.randn(B, OBS_DIM, generator=rng),
        terminated=torch.rand(B, generator=rng) < 0.2,
    )


def run(learner: Learner, first: int, count: int) -> list[object]:
    return [learner.update(make_batch(seed)) for seed in range(first, first + count)]


def assert_same_state(mine: Learner, theirs: Learner) -> None:
    assert mine.num_updates == theirs.num_updates
    tensors, others = mine.state().tensors, theirs.state().tensors
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name


def test_same_seed_and_batches_give_the_same_bits(config: AlgorithmConfig) -> None:
    first, second = learner_of(config), learner_of(config)

    assert run(first, 0, 5) == run(second, 0, 5)
    assert_same_state(first, second)


def test_another_seed_gives_another_learner(config: AlgorithmConfig) -> None:
    assert run(learner_of(config, 0), 0, 1) != run(learner_of(config, 1), 0, 1)


@pytest.mark.parametrize("num_before", [0, 3])
def test_restored_learner_goes_on_identically(config: AlgorithmConfig, num_before: int) -> None:
    learner = learner_of(config)
    run(learner, 0, num_before)
    learner.act(np.zeros((1, OBS_DIM), np.float32))
    restored = learner_of(config, seed=99)

    restored.restore(learner.state())

    obs = np.ones((2, OBS_DIM), np.float32)
    assert np.array_equal(restored.act(obs), learner.act(obs))
    assert run(restored, 10, 3) == run(learner, 10, 3)
    assert_same_state(restored, learner)


def test_acting_does_not_change_what_an_update_draws(config: AlgorithmConfig) -> None:
    quiet, acting = learner_of(config), learner_of(config)
    acting.act(np.zeros((5, OBS_DIM), np.float32))

    assert run(quiet, 0, 2) == run(acting, 0, 2)


def test_state_is_a_copy_that_later_updates_do_not_touch(config: AlgorithmConfig) -> None:
    learner = learner_of(config)
    run(learner, 0, 1)
    kept = learner.state().tensors
    before = {name: tensor.clone() for name, tensor in kept.items()}

    run(learner, 1, 2)

    assert all(torch.equal(kept[name], tensor) for name, tensor in before.items())


def test_every_network_learns(config: AlgorithmConfig) -> None:
    learner = learner_of(config)
    before = learner.state().tensors

    run(learner, 0, 1)

    after = learner.state().tensors
    weights = [name for name in before if name.startswith(("actor.", "critic.", "value."))]
    weights = [name for name in weights if name != "actor.choices"]
    assert len(weights) >= 12
    for name in weights:
        assert not torch.equal(before[name], after[name]), name


def test_metrics_are_finite_and_say_what_their_names_say(config: AlgorithmConfig) -> None:
    learner = learner_of(config)
    alpha = learner.alpha.item()

    metrics = learner.update(make_batch(0))

    assert all(math.isfinite(value) for value in dataclasses.astuple(metrics))
    assert metrics.qf_loss == pytest.approx((metrics.qf1_loss + metrics.qf2_loss) / 2)
    assert metrics.alpha == pytest.approx(alpha)


def test_algorithm_that_cannot_act_in_the_task_is_refused(config: AlgorithmConfig) -> None:
    choices = None if algorithm_of(config) == "sac_discrete" else CHOICES
    dimensions = Dimensions(obs_dim=OBS_DIM, action_dim=ACTION_DIM, choices=choices)

    with pytest.raises(AlgorithmMismatchError, match="--algorithm sac"):
        make_learner(dimensions, config, seed=0)


def test_algorithm_of_its_hyperparameters_is_its_own() -> None:
    assert [algorithm_of(cls()) for cls in CONFIGS.values()] == list(CONFIGS)
