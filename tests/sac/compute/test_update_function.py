"""The compiled update computes what the update as written computes, for every algorithm."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sac_ros.sac.compute.execution import REFERENCE, Execution
from sac_ros.sac.config.algorithm_config import CONFIGS, AlgorithmConfig, algorithm_of
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.algorithms import Dimensions, make_learner
from sac_ros.sac.learners.learner_protocol import Learner
from sac_ros.sac.replay.replay_buffer import Batch

OBS_DIM, ACTION_DIM, B = 17, 6, 256  # half_cheetah's: what is tuned for speed is checked
COMPILED = Execution(compiled=True)
CHOICES = tuple(tuple(row) for row in torch.eye(ACTION_DIM).tolist())
"""Of the discrete algorithm."""


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.long)])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def config_of(name: str) -> AlgorithmConfig:
    if name not in CONFIGS:
        return SACConfig(hidden_sizes=(64, 64), batch_size=B, critic_layer_norm=True)
    return CONFIGS[name](hidden_sizes=(64, 64), batch_size=B)


NAMES = (*CONFIGS, "sac, layer-normalised critics")


@pytest.fixture(params=NAMES)
def config(request: pytest.FixtureRequest) -> AlgorithmConfig:
    return config_of(request.param)


# A compiler takes about ten seconds for each.
@pytest.fixture(
    params=[pytest.param(name, marks=[] if name == "sac" else pytest.mark.long) for name in NAMES]
)
def compiled_config(request: pytest.FixtureRequest) -> AlgorithmConfig:
    return config_of(request.param)


def learner_of(config: AlgorithmConfig, execution: Execution = REFERENCE, seed: int = 0) -> Learner:
    discrete = algorithm_of(config) == "sac_discrete"
    dimensions = Dimensions(
        obs_dim=OBS_DIM, action_dim=ACTION_DIM, choices=CHOICES if discrete else None
    )
    return make_learner(dimensions, config, seed, execution)


def make_batch(seed: int, batch_size: int = B) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(
        obs=torch.randn(batch_size, OBS_DIM, generator=rng),
        action=torch.rand(batch_size, ACTION_DIM, generator=rng) * 2 - 1,
        reward=torch.randn(batch_size, generator=rng),
        next_obs=torch.randn(batch_size, OBS_DIM, generator=rng),
        terminated=torch.rand(batch_size, generator=rng) < 0.2,
    )


def assert_close(mine: Learner, theirs: Learner, tolerance: float) -> None:
    """Hold every saved tensor against the other's, by its norm."""
    tensors, others = mine.state().tensors, theirs.state().tensors
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            assert relative_error(tensor, others[name]) <= tolerance, name


def relative_error(tensor: Tensor, expected: Tensor) -> float:
    scale = expected.double().norm().clamp(min=1e-9)
    return float((tensor.double() - expected.double()).norm() / scale)


def test_compiled_update_is_the_update_as_written(
    compiled_config: AlgorithmConfig, threads: int
) -> None:
    reference = learner_of(compiled_config)
    compiled = learner_of(compiled_config, COMPILED)

    for seed in range(3):
        expected = dataclasses.asdict(reference.update(make_batch(seed)))
        metrics = dataclasses.asdict(compiled.update(make_batch(seed)))
        if seed == 0:  # later ones have been through a step that rounding has touched
            assert metrics == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert_close(compiled, reference, 1e-5)

    assert_close(compiled, reference, 1e-3)


@pytest.mark.long
def test_compiled_learners_of_one_process_keep_apart(config: AlgorithmConfig) -> None:
    first, second = learner_of(config, COMPILED, seed=1), learner_of(config, COMPILED, seed=2)

    first.update(make_batch(0))
    second.update(make_batch(0))
    second.update(make_batch(1))

    expected = learner_of(config, seed=1)
    expected.update(make_batch(0))
    assert_close(first, expected, 1e-5)


@pytest.mark.long
def test_batches_of_another_size_are_compiled_for_themselves(config: AlgorithmConfig) -> None:
    reference, compiled = learner_of(config), learner_of(config, COMPILED)

    for learner in (reference, compiled):
        learner.update(make_batch(0, 64))
        learner.update(make_batch(1, 32))

    assert_close(compiled, reference, 1e-3)


@pytest.mark.long
def test_batch_of_another_memory_layout_is_compiled_for_itself(config: AlgorithmConfig) -> None:
    reference, compiled = learner_of(config), learner_of(config, COMPILED)
    whole = make_batch(0)
    rows = torch.cat((whole.obs, whole.action), dim=1)  # as a replay buffer packs them
    view = whole._replace(obs=rows[:, :OBS_DIM], action=rows[:, OBS_DIM:])

    for learner in (reference, compiled):
        learner.update(whole)
        learner.update(view)

    assert_close(compiled, reference, 1e-3)


@pytest.mark.long
def test_restored_compiled_learner_goes_on_identically(config: AlgorithmConfig) -> None:
    learner, restored = learner_of(config, COMPILED), learner_of(config, COMPILED, seed=9)
    learner.update(make_batch(0))
    restored.update(make_batch(5))

    restored.restore(learner.state())

    assert restored.update(make_batch(1)) == learner.update(make_batch(1))
    assert_close(restored, learner, 0.0)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.long)])
def test_bfloat16_products_change_losses_by_their_rounding(
    config: AlgorithmConfig, compiled: bool
) -> None:
    reference = learner_of(config)
    reduced = learner_of(config, Execution(precision="bfloat16", compiled=compiled))

    expected = dataclasses.asdict(reference.update(make_batch(0)))
    metrics = dataclasses.asdict(reduced.update(make_batch(0)))

    # bfloat16 keeps 8 binary digits: a product of two is off by less than 1 %, a mean by less.
    assert metrics == pytest.approx(expected, rel=1e-2, abs=1e-2)
    assert metrics != expected
    floats = [t for t in reduced.state().tensors.values() if t.is_floating_point()]
    assert all(tensor.dtype == torch.float32 for tensor in floats)


def test_without_a_cpp_compiler_updates_run_as_written(tmp_path: Path) -> None:
    program = (
        "import logging\n"
        "logging.basicConfig(format='%(levelname)s %(message)s')\n"
        "from tests.sac.compute.test_update_function import *\n"
        "config = CONFIGS['sac'](hidden_sizes=(8,), batch_size=4)\n"
        "mine, theirs = learner_of(config, COMPILED), learner_of(config)\n"
        "for learner in (mine, theirs):\n"
        "    learner.update(make_batch(0, 4))\n"
        "    learner.update(make_batch(1, 4))\n"
        "assert_close(mine, theirs, 0.0)\n"
    )
    environment = os.environ | {
        "CXX": "/nonexistent/g++",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)

    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1 and "uncompiled" in warnings[0], done.stderr
