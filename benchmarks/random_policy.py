"""An untrained policy of realistic size; the weights do not matter for speed."""

from pathlib import Path

import numpy as np
import torch

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS
from sac_ros.sac.checkpoints.onnx_export import export_policy
from sac_ros.sac.networks.networks import SquashedGaussianActor
from sac_ros.task.task_spec import TaskSpec
from sim_training.training.provenance import make_provenance

HIDDEN_SIZES = (256, 256)


def write_random_policy(path: Path, task: TaskSpec, command: str) -> None:
    """Export an actor of 256 x 256 with random weights as the policy of this task."""
    torch.manual_seed(0)
    actor = SquashedGaussianActor(task.obs_dim, task.action_dim, HIDDEN_SIZES)
    export_untrained(actor, path, task, command)


def export_untrained(
    actor: SquashedGaussianActor, path: Path, task: TaskSpec, command: str
) -> None:
    """Export an untrained actor."""
    bound = np.full(task.obs_dim, 5.0, dtype=np.float32)
    golden_obs = np.random.default_rng(0).standard_normal((NUM_GOLDEN_PAIRS, task.obs_dim))
    export_policy(
        actor,
        task=task,
        provenance=make_provenance(
            algorithm="none",
            seed=0,
            steps=0,
            commands=[command],
            evaluation_return=None,
            training_run_s=0.0,
        ),
        obs_low=-bound,
        obs_high=bound,
        golden_obs=golden_obs.astype(np.float32),
        path=path,
    )
