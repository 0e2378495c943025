"""Reward terms: pure functions of what was read around a step and of what was executed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.observation import Readings, check_reading
from sac_ros.task.task_spec import Reading, RewardTerm, TaskSpec


@dataclass(frozen=True, kw_only=True)
class Step:
    """One control step as the reward sees it."""

    before: Readings
    after: Readings
    action: NDArray[np.float64]
    """Executed action [A] in [-1, 1]: what left the safety filter, not what the policy asked."""
    previous_action: NDArray[np.float64]
    """Executed action [A] of the step before; zeros at the start of an episode."""
    terminated: bool


def alive(step: Step) -> float:
    """Return 1 unless this step ended the episode."""
    return 0.0 if step.terminated else 1.0


def forward_velocity(
    before: NDArray[np.float64], after: NDArray[np.float64], control_period_s: float
) -> float:
    """Return the mean velocity over the step, from positions [1] in m, in m/s."""
    return float((after[0] - before[0]) / control_period_s)


def action_squared(step: Step) -> float:
    """Return the sum of squares of the executed action."""
    return float(step.action @ step.action)


def action_rate_squared(step: Step) -> float:
    """Return the sum of squares of the change of the executed action since the last step."""
    change = step.action - step.previous_action
    return float(change @ change)


def error_squared(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the squared distance of a reading from its target, in the reading's unit squared."""
    error = values - target
    return float(error @ error)


class RewardFunction:
    """The task's weighted sum of terms."""

    def __init__(self, task: TaskSpec) -> None:
        readings = {reading.name: reading for reading in task.readings}
        self._terms = [
            (term, _bind(term, readings.get(term.reading or ""), task.control_period_s))
            for term in task.reward
        ]

    def __call__(self, step: Step) -> float:
        """Return the reward of one step."""
        return sum(term.weight * value(step) for term, value in self._terms)

    def by_term(self, step: Step) -> dict[str, float]:
        """Return each term's weighted share, for logs."""
        return {term.term: term.weight * value(step) for term, value in self._terms}


def _bind(
    term: RewardTerm, reading: Reading | None, control_period_s: float
) -> Callable[[Step], float]:
    """Return the term as a function of the step alone."""
    if term.term == "alive":
        return alive
    if term.term == "action_squared":
        return action_squared
    if term.term == "action_rate_squared":
        return action_rate_squared
    assert reading is not None  # TaskSpec refuses these terms without a reading
    if term.term == "forward_velocity":
        return lambda step: forward_velocity(
            check_reading(reading, step.before),
            check_reading(reading, step.after),
            control_period_s,
        )
    target = np.array(term.target if term.target is not None else (0.0,) * reading.size)
    return lambda step: error_squared(check_reading(reading, step.after), target)
