"""Is the critic right? Its Q values beside the soft returns that its actor then really earns.

The actor of a checkpoint acts as it did in training, sampling. For every step, Q(s_t, a_t), the
lesser of the critics as in the actor's own loss, stands beside the return that Q is to predict,
with the entropy that eqs. 2 and 3 of arXiv 1812.05905 count as reward:

    G_t = r_t + gamma (1 - terminated_t) (G_{t+1} - alpha log pi(a_{t+1} | s_{t+1}))

A time limit is not part of that sum, so episodes are acted on beyond it until what is left weighs
no more than 1 %; that rest is taken from the critic. Only steps before the limit are compared.
Where training takes the sign of a game's reward, and a lost life for an end, so does this.

Shapes: n episodes, T steps, O obs_dim, A action_dim, K compared steps.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.sac.checkpoints.saved_critic import SavedCritic, load_critic
from sim_training.environments.box_env import BoxEnv
from sim_training.environments.env import make_training_env, terminated_for_learner
from sim_training.evaluation.rollout import evaluation_seeds
from sim_training.run_report.run_history import RunHistory
from sim_training.training.checkpoint_retry import read_with_retry

TAIL_WEIGHT = 0.01
CHUNK = 256
"""Steps whose Q values are asked for together."""
MAX_TAIL_STEPS = 2000
"""Beyond the time limit; from gamma 0.998 on, the rest weighs more than TAIL_WEIGHT."""


@dataclass(frozen=True, kw_only=True)
class ValueCheck:
    """Every compared step of some episodes."""

    q: NDArray[np.float64]
    """Least Q value of the critics at the action taken [K]."""
    realised: NDArray[np.float64]
    """Soft return from there on, G_t [K]."""
    step: NDArray[np.int64]
    """Steps since the episode began [K]."""
    episode: NDArray[np.int64]
    """Which episode of all [K]."""
    run: NDArray[np.int64]
    """Which of the runs that were pooled [K]."""
    discounted_return: float
    """Mean of the rewards alone, discounted from the first step, over the episodes."""
    tail_weight: float
    """Greatest share of any G_t that the critic itself contributed."""

    @property
    def bias(self) -> float:
        """Mean of Q minus realised return: positive is over-estimation."""
        return float((self.q - self.realised).mean())

    @property
    def relative_bias(self) -> float:
        """Bias over the mean magnitude of the realised return."""
        return self.bias / max(float(np.abs(self.realised).mean()), 1e-8)

    @property
    def correlation(self) -> float:
        """Pearson's, between Q and realised return; 0 where one of them never changes."""
        if self.q.std() == 0.0 or self.realised.std() == 0.0:
            return 0.0
        return float(np.corrcoef(self.q, self.realised)[0, 1])


class Steps(NamedTuple):
    """One episode under a sampling actor, acted on beyond its time limit."""

    q: NDArray[np.float64]  # [T]
    reward: NDArray[np.float64]  # [T]
    entropy_bonus: NDArray[np.float64]  # [T], -alpha log pi(a_t | s_t)
    ends: NDArray[np.bool_]
    """After which steps nothing more is expected [T]: a termination, or a lost life."""
    last_value: float
    """Soft value of the observation after the last step, by the critic."""


def check_values(run: RunHistory, num_episodes: int, seed: int) -> ValueCheck:
    """Act `num_episodes` with the actor of a run's checkpoint and compare."""
    judge = _SampledActorCritic(read_with_retry(load_critic, run.folder.checkpoint), seed)
    gamma = run.config.sac.gamma
    limit = run.task.max_episode_steps
    tail_steps = min(math.ceil(math.log(TAIL_WEIGHT) / math.log(gamma)), MAX_TAIL_STEPS)
    env = make_training_env(replace(run.task, max_episode_steps=limit + tail_steps))
    with contextlib.closing(env):
        episodes = [
            _act_episode(env, judge, episode_seed)
            for episode_seed in evaluation_seeds(seed, 0, num_episodes)
        ]
    return _compare(episodes, gamma, limit)


def pool_checks(checks: Sequence[ValueCheck]) -> ValueCheck:
    """Return the checks of several runs as one; the episodes stay apart."""
    counts = [int(check.episode.max()) + 1 for check in checks]
    firsts = np.cumsum([0, *counts[:-1]])
    return ValueCheck(
        q=np.concatenate([check.q for check in checks]),
        realised=np.concatenate([check.realised for check in checks]),
        step=np.concatenate([check.step for check in checks]),
        episode=np.concatenate(
            [check.episode + first for check, first in zip(checks, firsts, strict=True)]
        ),
        run=np.concatenate([np.full(len(c.q), index) for index, c in enumerate(checks)]),
        discounted_return=float(
            np.average([check.discounted_return for check in checks], weights=counts)
        ),
        tail_weight=max(check.tail_weight for check in checks),
    )


def soft_returns(steps: Steps, gamma: float) -> NDArray[np.float64]:
    """Return G_t of every step of one episode [T]."""
    realised = np.empty_like(steps.reward)
    following = steps.last_value
    for t in range(len(realised) - 1, -1, -1):
        realised[t] = steps.reward[t] + (0.0 if steps.ends[t] else gamma * following)
        following = realised[t] + steps.entropy_bonus[t]
    return realised


def _compare(episodes: Sequence[Steps], gamma: float, limit: int) -> ValueCheck:
    tails = [
        0.0 if steps.ends[-1] else gamma ** (len(steps.q) - min(limit, len(steps.q)) + 1)
        for steps in episodes
    ]
    discounted = [
        float((steps.reward * gamma ** np.arange(len(steps.reward))).sum()) for steps in episodes
    ]
    return ValueCheck(
        q=np.concatenate([steps.q[:limit] for steps in episodes]),
        realised=np.concatenate([soft_returns(steps, gamma)[:limit] for steps in episodes]),
        step=np.concatenate([np.arange(min(limit, len(steps.q))) for steps in episodes]),
        episode=np.concatenate(
            [np.full(min(limit, len(s.q)), index) for index, s in enumerate(episodes)]
        ),
        run=np.zeros(sum(min(limit, len(steps.q)) for steps in episodes), dtype=np.int64),
        discounted_return=float(np.mean(discounted)),
        tail_weight=max(tails),
    )


class _SampledActorCritic:
    """An actor that samples, and what its critics think of that."""

    def __init__(self, saved: SavedCritic, seed: int) -> None:
        self._saved = saved
        self._generator = torch.Generator().manual_seed(seed)

    def act(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Return an action [A] for obs [O], and -alpha times its log-probability."""
        action, logp = self._saved.sample(torch.from_numpy(obs[None]), self._generator)
        return action[0].numpy(), -self._saved.alpha * float(logp)

    def q(self, obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the least Q value of the critics [T], of obs [T, O] and action [T, A]."""
        q = self._saved.min_q(torch.from_numpy(obs), torch.from_numpy(action))
        return q.numpy().astype(np.float64)


def _act_episode(env: BoxEnv, judge: _SampledActorCritic, seed: int) -> Steps:
    observations: list[NDArray[np.float32]] = []
    actions: list[NDArray[np.float32]] = []
    q, rewards, bonuses, ends = [], [], [], []
    obs, _ = env.reset(seed=seed)
    has_ended = False
    while not has_ended:
        action, bonus = judge.act(obs)
        successor, reward, terminated, truncated, info = env.step(action)
        observations.append(obs)
        # What the safety filter let through is what the critic has learned from.
        actions.append(np.asarray(info.get("executed_action", action), dtype=np.float32))
        rewards.append(float(reward))
        bonuses.append(bonus)
        ends.append(bool(terminated_for_learner(np.array(terminated), info)))
        obs, has_ended = successor, terminated or truncated
        if has_ended or len(observations) == CHUNK:  # of images, a whole episode would be GiB
            q.append(judge.q(np.stack(observations), np.stack(actions)))
            observations, actions = [], []
    last_action, last_bonus = judge.act(obs)
    return Steps(
        q=np.concatenate(q),
        reward=np.array(rewards),
        entropy_bonus=np.array(bonuses),
        ends=np.array(ends),
        last_value=float(judge.q(obs[None], last_action[None])[0]) + last_bonus,
    )
