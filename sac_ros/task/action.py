"""The policy's action [A] in [-1, 1] to a command [A] in the robot's units, and back.

A discrete policy's choice k is the k-th of the task's commands; from there on it is an action like
any other, so that filter, transitions and environments need not know of it.
"""

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.action_spec import ActionSpec

ROUNDING = 1e-6
"""What the way from an action to a command and back may add to it."""


def exceeds_limits(action: NDArray[np.floating]) -> bool:
    """Say whether an action [A] lies outside of [-1, 1], by more than its way here has rounded."""
    return bool(np.abs(action).max() > 1.0 + ROUNDING)


class ActionScaling:
    """The linear map that takes -1 to `low` and +1 to `high`, entry by entry."""

    def __init__(self, spec: ActionSpec) -> None:
        low = np.array(spec.low, dtype=np.float64)
        high = np.array(spec.high, dtype=np.float64)
        self._centre = (high + low) / 2.0
        self._half_range = (high - low) / 2.0
        self._choices = None if spec.choices is None else np.array(spec.choices, dtype=np.float64)

    def to_command(self, action: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the command [A] in the task's unit for an action [A] in [-1, 1]."""
        return self._centre + self._half_range * np.asarray(action, dtype=np.float64)

    def actions_of_choices(self) -> NDArray[np.float64] | None:
        """Return the actions [K, A] in [-1, 1] of a discrete task's K choices."""
        return None if self._choices is None else self.to_action(self._choices)

    def to_action(self, command: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the action [A] in [-1, 1] that this command [A] executes."""
        return (np.asarray(command, dtype=np.float64) - self._centre) / self._half_range
