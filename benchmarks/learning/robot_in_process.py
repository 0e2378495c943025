"""Learning on a simulated robot without ROS: environment, policy and learner in one process.

The learner node's own RobotLearner learns, and the policy files that it exports act. Messages,
clocks, the guard and the checks of an update are left out. Learning takes all the time it needs, so
the update-to-data ratio is that of the recipe.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sac_ros.sac.on_robot.robot_learner import RobotLearner
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.task.transition import Transition
from sim_training.demos.robot_session import SimulatedRobot
from sim_training.environments.box_env import BoxEnv
from sim_training.environments.env import make_env

BASELINE_EPISODES = 3
"""With the policy as it came, as config/fine_tuning_policy_node.yaml has it."""


def learn_in_process(
    policy: Path,
    robot: SimulatedRobot,
    settings: RobotLearnerSettings,
    *,
    baseline_episodes: int = BASELINE_EPISODES,
    robot_steps: int,
    say: Callable[[list[EpisodeRow]], None] = lambda rows: None,
) -> list[EpisodeRow]:
    """Let a learner learn for so many robot steps; return its episodes.

    New policies start when an episode ends, after the episodes of the baseline.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    running = OnnxPolicy.load(policy)
    rows: list[EpisodeRow] = []
    env = make_env(running.task, perturbation=robot.perturbation)
    with closing(RobotLearner(settings, running.contract)) as learner, closing(env):
        while learner.is_compiling:
            time.sleep(0.1)
        rng = np.random.default_rng(robot.seed)
        env.reset(seed=robot.seed)
        while learner.log.num_added < robot_steps:
            number, version = len(rows), learner.version if len(rows) >= baseline_episodes else 0
            _run_episode(env, running, rng, learner, number, version)
            assert learner.memory.last_episode is not None
            rows.append(learner.memory.last_episode)
            say(rows)
            if learner.has_news and len(rows) >= baseline_episodes:
                update = learner.make_update(num_rollbacks=0)
                running = OnnxPolicy.from_bytes(update.policy, learner.contract.task_fingerprint)
    return rows


def _run_episode(
    env: BoxEnv,
    policy: OnnxPolicy,
    rng: np.random.Generator,
    learner: RobotLearner,
    episode: int,
    version: int,
) -> None:
    """Act, exploring, until the episode ends, with the updates due after each step."""
    obs, _ = env.reset()
    step, has_ended = 0, False
    while not has_ended:
        action = policy.sample(obs, rng=rng).astype(np.float32)
        next_obs, reward, terminated, truncated, said = env.step(action)
        learner.add(
            Transition(
                episode=episode,
                step=step,
                obs=obs,
                action=np.asarray(said.get("executed_action", action), dtype=np.float64),
                reward=float(reward),
                next_obs=next_obs,
                terminated=terminated,
                truncated=truncated,
                policy=version,
            )
        )
        learner.learn_while(lambda: True)
        obs, step, has_ended = next_obs, step + 1, terminated or truncated
