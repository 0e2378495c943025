"""Policy, checkpoint and recipe for a learner at full load, without any training.

Memory and speed depend on the sizes of the networks, not on their weights.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.random_policy import export_untrained
from sac_ros.sac.checkpoints.checkpoint import Progress, save_checkpoint
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.task.package_share import package_share
from sac_ros.task.task_spec import TaskSpec

PRIOR_TRANSITIONS = 20_000
# More than any processor keeps up with here, so that an update is always pending.
FULL_LOAD = {"warmup_steps": 0, "critic_steps": 0, "utd_ratio": 20.0, "prior_share_end": 0.25}


@dataclass(frozen=True, kw_only=True)
class UntrainedRun:
    """The files a learner starts from."""

    policy: Path
    checkpoint: Path
    recipe: Path


def write_untrained_run(
    folder: Path, task: TaskSpec, *, buffer_capacity: int, command: str
) -> UntrainedRun:
    """Write them into `folder`; networks of 256 x 256, and a prior buffer of noise."""
    rng = np.random.default_rng(0)
    config = SACConfig(buffer_capacity=PRIOR_TRANSITIONS)
    learner = SACLearner(task.obs_dim, task.action_dim, config, seed=0)
    prior = ReplayBuffer(PRIOR_TRANSITIONS, task.obs_dim, task.action_dim, seed=0)
    obs = rng.standard_normal((PRIOR_TRANSITIONS, task.obs_dim)).astype(np.float32)
    prior.add(
        obs,
        rng.uniform(-1.0, 1.0, (PRIOR_TRANSITIONS, task.action_dim)).astype(np.float32),
        np.zeros(PRIOR_TRANSITIONS, dtype=np.float32),
        np.roll(obs, -1, axis=0),
        np.zeros(PRIOR_TRANSITIONS, dtype=bool),
        np.zeros(PRIOR_TRANSITIONS, dtype=bool),
    )
    learner.update(prior.sample(config.batch_size))  # a checkpoint has optimiser moments
    run = UntrainedRun(
        policy=folder / "policy.onnx",
        checkpoint=folder / "checkpoint",
        recipe=folder / "recipe.yaml",
    )
    save_checkpoint(run.checkpoint, learner, prior, Progress(values={}, arrays={}))
    export_untrained(learner.actor, run.policy, task, command)
    shipped = yaml.safe_load((package_share() / "config" / "fine_tuning.yaml").read_text())
    recipe = shipped | FULL_LOAD | {"buffer_capacity": buffer_capacity}
    run.recipe.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return run
