"""Compare the critics' Q values with the soft returns that the actor really obtains.

The actor of a checkpoint samples actions as in training. At every step, Q(s_t, a_t), the minimum
over the critics as in the actor's loss, is compared with the soft return that it estimates. The
entropy counts as reward, as in eqs. 2 and 3 of arXiv 1812.05905:

    G_t = r_t + gamma (1 - terminated_t) (G_{t+1} - alpha log pi(a_{t+1} | s_{t+1}))

Q ignores the time limit, so episodes continue beyond it until the weight of the rest of the return
is at most 1 %. The critic's own estimate replaces that rest. Only steps before the time limit are
compared. For Atari games, rewards are replaced by their sign and a lost life counts as termination,
as in training.

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
"""Steps whose Q values are computed in one batch."""
MAX_TAIL_STEPS = 2000
"""Most steps beyond the time limit. From gamma 0.998 on, the rest exceeds TAIL_WEIGHT."""


@dataclass(frozen=True, kw_only=True)
class ValueCheck:
    """Q values and realised soft returns at K steps."""

    q: NDArray[np.float64]
    """Minimum Q value of the critics at the executed action [K]."""
    realised: NDArray[np.float64]
    """Realised soft return G_t from that step on [K]."""
    step: NDArray[np.int64]
    """Step within the episode [K]."""
    episode: NDArray[np.int64]
    """Index of the episode [K]."""
    run: NDArray[np.int64]
    """Index of the run, if several runs are pooled [K]."""
    discounted_return: float
    """Mean discounted return of the episodes, without entropy."""
    tail_weight: float
    """Largest weight of the critic's own estimate in any G_t."""

    @property
    def bias(self) -> float:
        """Mean of Q minus realised return; positive means over-estimation."""
        return float((self.q - self.realised).mean())

    @property
    def relative_bias(self) -> float:
        """Bias divided by the mean magnitude of the realised return."""
        return self.bias / max(float(np.abs(self.realised).mean()), 1e-8)

    @property
    def correlation(self) -> float:
        """Pearson correlation of Q and realised return; 0 if one of them is constant."""
        if self.q.std() == 0.0 or self.realised.std() == 0.0:
            return 0.0
        return float(np.corrcoef(self.q, self.realised)[0, 1])


class Steps(NamedTuple):
    """One episode with sampled actions, continued beyond the time limit."""

    q: NDArray[np.float64]  # [T]
    reward: NDArray[np.float64]  # [T]
    entropy_bonus: NDArray[np.float64]  # [T], -alpha log pi(a_t | s_t)
    ends: NDArray[np.bool_]
    """Steps after which the return ends [T]: a termination, or a lost life."""
    last_value: float
    """The critic's soft value of the observation after the last step."""


def check_values(run: RunHistory, num_episodes: int, seed: int) -> ValueCheck:
    """Run `num_episodes` with the actor of a run's checkpoint, and compare Q with the returns."""
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
    """Merge the checks of several runs; episodes get distinct indices."""
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
    """A checkpoint's actor, which samples actions, and its critics."""

    def __init__(self, saved: SavedCritic, seed: int) -> None:
        self._saved = saved
        self._generator = torch.Generator().manual_seed(seed)

    def act(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Return an action [A] for obs [O], and -alpha times its log-probability."""
        action, logp = self._saved.sample(torch.from_numpy(obs[None]), self._generator)
        return action[0].numpy(), -self._saved.alpha * float(logp)

    def q(self, obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the minimum Q value of the critics [T] at obs [T, O] and action [T, A]."""
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
        # The critic has learned from the executed action, after the safety filter.
        actions.append(np.asarray(info.get("executed_action", action), dtype=np.float32))
        rewards.append(float(reward))
        bonuses.append(bonus)
        ends.append(bool(terminated_for_learner(np.array(terminated), info)))
        obs, has_ended = successor, terminated or truncated
        if has_ended or len(observations) == CHUNK:  # an episode of images takes several GiB
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
