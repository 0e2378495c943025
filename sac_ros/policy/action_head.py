"""From what a policy's graph computes to an action [A] in [-1, 1], for each kind of policy.

Shapes: A action_dim, K choices.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import PolicyContract
from sac_ros.task.action import ActionScaling


class ActionHead(Protocol):
    """Turns the outputs of the graph, each [1, width], into an action [A] in [-1, 1]."""

    def mode(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the most likely action."""
        ...

    def sample(
        self,
        outputs: Sequence[NDArray[np.float32]],
        rng: np.random.Generator,
        noise_scale: float,
    ) -> NDArray[np.float64]:
        """Return an action drawn with noise from `rng`; a scale of 0 leaves the most likely."""
        ...


class GaussianHead:
    """Mean and log_std before squashing by tanh."""

    def mode(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the squashed mean."""
        action: NDArray[np.float64] = np.tanh(outputs[0][0].astype(np.float64))
        return action

    def sample(
        self,
        outputs: Sequence[NDArray[np.float32]],
        rng: np.random.Generator,
        noise_scale: float,
    ) -> NDArray[np.float64]:
        """Return the squashed mean with noise of the graph's own deviation."""
        mean, log_std = (output[0].astype(np.float64) for output in outputs)
        noise = noise_scale * rng.standard_normal(mean.shape)
        action: NDArray[np.float64] = np.tanh(mean + np.exp(log_std) * noise)
        return action


class CategoricalHead:
    """Logits of the task's choices [K, A], given here as actions in [-1, 1]."""

    def __init__(self, choices: NDArray[np.float64]) -> None:
        self._choices = choices

    def mode(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the choice of the greatest logit; not a number where the logits are none."""
        return self._choice(outputs[0][0])

    def sample(
        self,
        outputs: Sequence[NDArray[np.float32]],
        rng: np.random.Generator,
        noise_scale: float,
    ) -> NDArray[np.float64]:
        """Return a choice drawn by its probability."""
        # The greatest of logits with Gumbel noise is a draw from their softmax.
        logits = outputs[0][0]
        return self._choice(logits + noise_scale * rng.gumbel(size=logits.shape))

    def _choice(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        choice: NDArray[np.float64] = self._choices[logits.argmax()]
        # argmax takes a NaN for the greatest; the safety filter would never hear of it.
        return choice if np.isfinite(logits).all() else np.full_like(choice, np.nan)


def action_head(contract: PolicyContract) -> ActionHead:
    """Return the head for the kind of policy that the contract describes."""
    choices = ActionScaling(contract.task.action).actions_of_choices()
    return GaussianHead() if choices is None else CategoricalHead(choices)
