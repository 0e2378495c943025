"""Whole episodes under a policy that does not learn from them.

Shapes: n environments whose episode still runs, O obs_dim, A action_dim.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv

Act: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Obs [n, O] to action [n, A] in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What one episode came to."""

    episode_return: float
    """Sum of its rewards, not discounted."""
    length: int
    """Control steps."""


def evaluation_seeds(seed: int, step: int, num_episodes: int) -> list[int]:
    """Return the seeds of the evaluation at one step of one run: the same ones whenever asked."""
    words = np.random.SeedSequence((seed, step)).generate_state(num_episodes)
    return [int(word) for word in words]


def run_episodes(
    envs: Sequence[BoxEnv],
    act: Act,
    seeds: Sequence[int],
    after_step: Callable[[], None] | None = None,
) -> list[Episode]:
    """Run one episode in each environment, from its seed, with one call of the policy a step.

    `after_step` is called at the start and after each step of all environments: a camera.
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
