"""A learner whose actor balances the pendulum, made by hand, with its policy and its checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from linear_policy import BALANCING_GAIN, PROVENANCE

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS
from sac_ros.sac.checkpoints.checkpoint import Progress, save_checkpoint
from sac_ros.sac.checkpoints.onnx_export import export_policy
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.task.task_spec import TaskSpec, load_task

LOG_STD = -3.0
CONFIG = SACConfig(hidden_sizes=(8,), buffer_capacity=300, batch_size=16)


def balancing_task(max_episode_steps: int) -> TaskSpec:
    return replace(load_task("inverted_pendulum"), max_episode_steps=max_episode_steps)


def balancing_learner() -> SACLearner:
    """Return a learner with mean = gain @ obs, as relu(gain @ obs) - relu(-gain @ obs)."""
    learner = SACLearner(4, 1, CONFIG, seed=0)
    first, head = learner.actor.trunk[0], learner.actor.head
    gain = torch.tensor(BALANCING_GAIN[0], dtype=torch.float32)
    with torch.no_grad():
        for parameter in learner.actor.parameters():
            parameter.zero_()
        first.weight[0], first.weight[1] = gain, -gain  # type: ignore[index,operator]
        head.weight[0, 0], head.weight[0, 1] = 1.0, -1.0
        head.bias[1] = LOG_STD
    return learner


def write_balancing_run(folder: Path, task: TaskSpec) -> tuple[Path, Path]:
    """Write policy and checkpoint of that learner, with some transitions; return both paths."""
    rng = np.random.default_rng(0)
    learner, buffer = balancing_learner(), ReplayBuffer(300, 4, 1, seed=0)
    obs = rng.normal(0.0, 0.05, (200, 4)).astype(np.float32)
    buffer.add(
        obs,
        rng.uniform(-1.0, 1.0, (200, 1)),
        np.ones(200),
        obs,
        np.zeros(200, dtype=bool),
        np.zeros(200, dtype=bool),
    )
    for _ in range(3):
        learner.update(buffer.sample(16))  # so that there are optimiser moments
    learner.restore(replace(learner.state(), tensors=_with_actor(learner)))
    save_checkpoint(folder / "checkpoint", learner, buffer, Progress(values={}, arrays={}))
    export_policy(
        learner.actor,
        task=task,
        provenance=PROVENANCE,
        obs_low=obs.min(axis=0),
        obs_high=obs.max(axis=0),
        golden_obs=obs[:NUM_GOLDEN_PAIRS],
        path=folder / "policy.onnx",
    )
    return folder / "policy.onnx", folder / "checkpoint"


def _with_actor(learner: SACLearner) -> dict[str, torch.Tensor]:
    actor = {f"actor.{k}": v for k, v in balancing_learner().actor.state_dict().items()}
    return {**learner.state().tensors, **actor}
