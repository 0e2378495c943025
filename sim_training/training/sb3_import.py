"""`sac-ros export --from-sb3`: export a policy trained with Stable-Baselines3.

Shapes: n environments whose episode still runs, O obs_dim, A action_dim.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS
from sac_ros.sac.checkpoints.onnx_export import PolicyExportError, export_policy
from sac_ros.sac.checkpoints.sb3_model import read_sb3_model
from sac_ros.sac.networks.networks import SquashedGaussianActor
from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.env import make_env
from sim_training.evaluation.rollout import evaluation_seeds, run_episodes
from sim_training.training.provenance import make_provenance

NUM_EPISODES = 10
SEED = 1


@dataclass(frozen=True, kw_only=True)
class _Observed:
    """The observations and the mean return of some episodes of a policy."""

    obs: NDArray[np.float32]  # [T, O]
    return_mean: float


def export_sb3_model(model: Path, task: TaskSpec, out: Path, command: str) -> float:
    """Write the model's actor as a policy of `task`; return its mean return in that task.

    The zip has no observation range. The policy is run in the task's environment, which gives the
    contract its observation range and its golden observations. Raises SB3ModelError or
    PolicyExportError.
    """
    saved = read_sb3_model(model)
    found = (saved.actor.obs_dim, saved.actor.action_dim)
    if found != (task.obs_dim, task.action_dim):
        raise PolicyExportError(
            f"{model} has (obs_dim, action_dim) {found}, task {task.name!r} has"
            f" {(task.obs_dim, task.action_dim)}; give the task that it was trained for"
        )
    observed = _run(saved.actor, task)
    rng = np.random.default_rng(SEED)
    export_policy(
        saved.actor,
        task=task,
        provenance=make_provenance(
            algorithm=f"sac of stable_baselines3 {saved.version}",
            seed=saved.seed,
            steps=saved.num_timesteps,
            commands=(command,),
            evaluation_return=observed.return_mean,
            training_run_s=None,
        ),
        obs_low=observed.obs.min(axis=0),
        obs_high=observed.obs.max(axis=0),
        golden_obs=rng.choice(observed.obs, NUM_GOLDEN_PAIRS),
        path=out,
    )
    return observed.return_mean


def _run(actor: SquashedGaussianActor, task: TaskSpec) -> _Observed:
    seen: list[NDArray[np.float32]] = []

    def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(obs)
        with torch.no_grad():
            action: NDArray[np.float32] = actor.mode(torch.from_numpy(obs)).numpy()
        return action

    envs = [make_env(task) for _ in range(NUM_EPISODES)]
    episodes = run_episodes(envs, act, evaluation_seeds(SEED, 0, NUM_EPISODES))
    return _Observed(
        obs=np.concatenate(seen),
        return_mean=float(np.mean([episode.episode_return for episode in episodes])),
    )
