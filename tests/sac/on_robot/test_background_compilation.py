"""A learner that is compiled aside is the learner it is to replace, and nothing waits for it."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.on_robot.background_compilation import BackgroundCompilation
from sac_ros.sac.replay.replay_buffer import Batch

SAC = SACConfig(hidden_sizes=(16,), batch_size=32, buffer_capacity=100)
PATIENCE_S = 300.0


def batch(seed: int) -> Batch:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    return Batch(
        obs=normal(32, 3), action=normal(32, 2).tanh(), reward=normal(32), next_obs=normal(32, 3),
        terminated=torch.zeros(32, dtype=torch.bool),
    )  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_compiled_twin_goes_on_as_the_learner_would_have() -> None:
    learner = SACLearner(3, 2, SAC, seed=7)
    learner.update(batch(0))
    compilation = BackgroundCompilation(learner, batch_size=32)
    compilation.start()
    learner.update(batch(1))
    wait_until(lambda: not compilation.is_running)

    twin = compilation.twin(learner.state())

    metrics, expected = twin.update(batch(2)), learner.update(batch(2))
    assert metrics.qf_loss == pytest.approx(expected.qf_loss, rel=1e-4)
    for name, tensor in learner.state().tensors.items():
        torch.testing.assert_close(twin.state().tensors[name], tensor, rtol=1e-4, atol=1e-6)


def test_update_that_cannot_be_compiled_is_said_once_and_learning_goes_on_as_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise torch._dynamo.exc.InternalTorchDynamoError("no compiler here")

    monkeypatch.setattr(torch, "compile", refuse)
    learner = SACLearner(3, 2, SAC, seed=7)
    compilation = BackgroundCompilation(learner, batch_size=32)
    compilation.start()
    wait_until(lambda: not compilation.is_running)

    twin = compilation.twin(learner.state())

    assert [twin.update(batch(seed)) for seed in range(3)] == [
        learner.update(batch(seed)) for seed in range(3)
    ]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "uncompiled" in warning.getMessage() and "no compiler here" in warning.getMessage()
