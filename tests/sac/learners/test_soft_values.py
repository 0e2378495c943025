"""State 0 leads to state 1; state 1 ends the episode or leads to itself. No action matters.

So the best policy is uniform, of known entropy H, and the soft values follow:
Q(1) = r1 if it ends, else (r1 + gamma alpha H) / (1 - gamma); Q(0) = r0 + gamma (Q(1) + alpha H).
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.learners.learner_protocol import Learner
from sac_ros.sac.learners.sac_discrete import SACDiscreteLearner
from sac_ros.sac.learners.sac_v1 import SACV1Learner
from sac_ros.sac.replay.replay_buffer import Batch

GAMMA, ALPHA = 0.5, 0.4
REWARDS = torch.tensor([1.0, 2.0])
STATES = torch.eye(2)
SEVEN_ACTIONS = torch.linspace(-0.9, 0.9, 7)[:, None]
SETTINGS = {
    "gamma": GAMMA,
    "tau": 0.1,
    "hidden_sizes": (32, 32),
    "actor_learning_rate": 3.0e-3,
    "critic_learning_rate": 3.0e-3,
}


def soft_q(entropy: float, ends: bool) -> tuple[float, float]:
    """Return the soft Q values of both states, in units of the reward."""
    bonus = ALPHA * entropy
    q1 = 2.0 if ends else (2.0 + GAMMA * bonus) / (1.0 - GAMMA)
    return 1.0 + GAMMA * (q1 + bonus), q1


def walk_the_chain(
    learner: Learner, draw_action: Callable[[torch.Generator], Tensor], ends: bool
) -> None:
    """Take 600 updates with transitions of the chain."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(600):
        state = torch.randint(0, 2, (64,), generator=rng)
        learner.update(
            Batch(
                obs=STATES[state],
                action=draw_action(rng),
                reward=REWARDS[state],
                next_obs=STATES[torch.ones_like(state)],
                terminated=(state == 1) & ends,
            )
        )


def uniform_action(rng: torch.Generator) -> Tensor:
    return torch.rand(64, 1, generator=rng) * 2 - 1


def assert_constant(q: Tensor, expected: float) -> None:
    """Q depends on no action."""
    torch.testing.assert_close(q, torch.full_like(q, expected), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("ends", [True, False])
def test_sac_finds_them(ends: bool) -> None:
    learner = SACLearner(2, 1, SACConfig(**SETTINGS, fixed_alpha=ALPHA), seed=0)

    walk_the_chain(learner, uniform_action, ends)

    with torch.no_grad():
        for state, expected in enumerate(soft_q(math.log(2.0), ends)):
            assert_constant(learner._critic(STATES[state].expand(7, 2), SEVEN_ACTIONS), expected)


@pytest.mark.parametrize("ends", [True, False])
def test_sac_discrete_finds_them_with_the_entropy_of_its_choices(ends: bool) -> None:
    choices = ((-1.0,), (0.0,), (1.0,))
    config = SACDiscreteConfig(**SETTINGS, fixed_alpha=ALPHA, adam_epsilon=1.0e-8)
    learner = SACDiscreteLearner(2, choices, config, seed=0)

    walk_the_chain(learner, lambda rng: torch.randint(-1, 2, (64, 1), generator=rng).float(), ends)

    with torch.no_grad():
        for state, expected in enumerate(soft_q(math.log(3.0), ends)):
            assert_constant(learner._critic(STATES[state][None]), expected)


@pytest.mark.parametrize("ends", [True, False])
def test_sac_v1_finds_them_in_units_of_the_scaled_reward(ends: bool) -> None:
    config = SACV1Config(**SETTINGS, value_learning_rate=3.0e-3, reward_scale=1.0 / ALPHA)
    learner = SACV1Learner(2, 1, config, seed=0)

    walk_the_chain(learner, uniform_action, ends)

    entropy = math.log(2.0)
    with torch.no_grad():
        values = ALPHA * learner._value(STATES)
        for state, expected in enumerate(soft_q(entropy, ends)):
            q = ALPHA * learner._critic(STATES[state].expand(7, 2), SEVEN_ACTIONS)
            assert_constant(q, expected)
            assert values[state].item() == pytest.approx(expected + ALPHA * entropy, abs=0.1)
