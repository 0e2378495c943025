"""Evaluation during training, without any effect on the training run.

Shapes: n environments whose episode still runs, O obs_dim, A action_dim.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.sac.learners.learner_protocol import Actor
from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.env import make_env
from sim_training.evaluation.evaluation import Evaluation
from sim_training.evaluation.rollout import evaluation_seeds, run_episodes
from sim_training.training.training_config import TrainingConfig
from sim_training.training.training_progress import TrainingProgress


class ActorEvaluation:
    """Evaluates the deterministic policy in separate environments.

    It uses none of training's random generators. Its seeds depend only on the run's seed and the
    step, so a resumed run gets the same returns.
    """

    def __init__(self, config: TrainingConfig, task: TaskSpec) -> None:
        self._seed = config.seed
        self._device = config.device
        self._envs = [
            make_env(task, perturbation=config.perturbation) for _ in range(config.eval_episodes)
        ]

    def evaluate(self, actor: Actor, progress: TrainingProgress) -> None:
        """Evaluate the actor and append the result to `progress.evaluations`."""

        def act(obs: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.no_grad():
                action = actor.mode(torch.from_numpy(obs).to(self._device))
            result: NDArray[np.float32] = action.cpu().numpy()
            return result

        seeds = evaluation_seeds(self._seed, progress.step, len(self._envs))
        episodes = run_episodes(self._envs, act, seeds)
        progress.evaluations.append(
            Evaluation.of(episodes, step=progress.step, wall_s=progress.wall_s)
        )
