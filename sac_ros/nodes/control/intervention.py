"""What a person commands in the policy's place, for as long as that person goes on sending.

Knows no ROS. Times are the receiver's steady clock, as for sensors; stamps only tell the order.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.nodes.messages.stamp_order import StampOrder


class InterventionError(InputError):
    """A person's command came too late."""


@dataclass
class InterventionCounts:
    """Since the node was configured."""

    taken_over: int = 0
    """Times that a person took over."""
    messages: int = 0
    refused: int = 0
    """Messages of a wrong size, with wrong joints, not finite, out of order or held up."""


class Intervention:
    """The newest command of a person, while it is fresh."""

    def __init__(self, timeout_s: float, *, judges_delay: bool = True) -> None:
        """`timeout_s`: without a message for longer than this, the person has let go."""
        self.timeout_s = timeout_s
        self.counts = InterventionCounts()
        self._max_delay_s = timeout_s if judges_delay else math.inf
        self._command: NDArray[np.float64] | None = None
        self._arrival_s = -math.inf
        self._order = self._new_order()

    def store(self, command: NDArray[np.float64], stamp_s: float, arrival_s: float) -> None:
        """Take over a finite command [A] in the task's unit.

        Raises InterventionError for one that is out of order or was held up on its way.
        """
        refusal = self._order.refusal(stamp_s, arrival_s)
        if refusal is not None:
            raise InterventionError(refusal)
        self.counts.messages += 1
        self.counts.taken_over += not self.is_fresh(arrival_s)
        self._command, self._arrival_s = command, arrival_s

    def set_timeout(self, timeout_s: float) -> None:
        """Use another timeout in s from now on; it was declared with a range."""
        self.timeout_s = timeout_s
        if self._max_delay_s != math.inf:
            self._max_delay_s = timeout_s
        self._order = self._new_order()

    def is_fresh(self, now_s: float) -> bool:
        """Say whether a person commands at this moment."""
        return now_s - self._arrival_s <= self.timeout_s

    def command(self, now_s: float) -> NDArray[np.float64] | None:
        """Return what the person asks for [A]; None where the policy is to act."""
        return self._command if self.is_fresh(now_s) else None

    def clear(self) -> None:
        """Forget it: only what arrives from now on counts."""
        self._command, self._arrival_s = None, -math.inf
        self._order = self._new_order()

    def _new_order(self) -> StampOrder:
        return StampOrder(max_delay_s=self._max_delay_s, patience_s=self.timeout_s)
