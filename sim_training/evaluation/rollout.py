"""Run whole episodes with a fixed policy.

Shapes: n environments whose episode still runs, O obs_dim, A action_dim.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv

Act: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Maps obs [n, O] to action [n, A] in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """Return and length of one episode."""

    episode_return: float
    """Undiscounted sum of rewards."""
    length: int
    """Number of control steps."""


def evaluation_seeds(seed: int, step: int, num_episodes: int) -> list[int]:
    """Return the seeds of an evaluation's episodes; they depend only on the arguments."""
    words = np.random.SeedSequence((seed, step)).generate_state(num_episodes)
    return [int(word) for word in words]


def run_episodes(
    envs: Sequence[BoxEnv],
    act: Act,
    seeds: Sequence[int],
    after_step: Callable[[], None] | None = None,
) -> list[Episode]:
    """Run one seeded episode in each environment, with one batched policy call per step.

    `after_step` is called after the reset and after each step of all environments, for example to
    record a video.
    """
    running = list(range(len(envs)))
    returns, lengths = [0.0] * len(envs), [0] * len(envs)
    current_obs = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    if after_step is not None:
        after_step()
    while running:
        action = act(np.stack([current_obs[index] for index in running])).astype(np.float32)
        ended = set()
        for row, index in enumerate(running):
            current_obs[index], reward, terminated, truncated, _ = envs[index].step(action[row])
            returns[index] += float(reward)
            lengths[index] += 1
            if terminated or truncated:
                ended.add(index)
        running = [index for index in running if index not in ended]
        if after_step is not None:
            after_step()
    return [
        Episode(episode_return=episode_return, length=length)
        for episode_return, length in zip(returns, lengths, strict=True)
    ]
