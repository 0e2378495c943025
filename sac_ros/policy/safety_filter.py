"""The last thing between policy and robot: it cannot be skipped, and it says when it acted."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import ActionSpec


@dataclass
class FilterCounts:
    """How often each stage changed a command since the filter was made."""

    non_finite: int = 0
    clipped: int = 0
    rate_limited: int = 0


class SafetyFilter:
    """finite -> clip -> rate limit -> low-pass, in the command's unit.

    Whatever is asked, the result is finite and within [low, high]; and, but for the safe command
    that answers a non-finite request, within the rate limit of the command before.
    """

    def __init__(self, spec: ActionSpec, control_period_s: float) -> None:
        self._low = np.array(spec.low, dtype=np.float64)
        self._high = np.array(spec.high, dtype=np.float64)
        self._safe_command = np.array(spec.safe_command, dtype=np.float64)
        self._max_change = (
            None if spec.rate_limit is None else np.array(spec.rate_limit) * control_period_s
        )
        # First-order low-pass, sampled exactly: the share of the way gone in one period.
        self._blend = (
            None
            if spec.low_pass_hz is None
            else 1.0 - math.exp(-2.0 * math.pi * spec.low_pass_hz * control_period_s)
        )
        self._last = self._safe_command.copy()
        self.counts = FilterCounts()

    def reset(self) -> None:
        """Start again from the safe command, which is what the robot holds outside of active."""
        self._last = self._safe_command.copy()

    def apply(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the command [A] that may be executed in place of the one asked for [A]."""
        allowed = command
        # False for a NaN too, so what is within limits is finite and needs no further look.
        if not ((command >= self._low) & (command <= self._high)).all():
            if not np.isfinite(command).all():
                self.counts.non_finite += 1
                self._last = self._safe_command.copy()
                return self._safe_command.copy()
            self.counts.clipped += 1
            allowed = np.clip(command, self._low, self._high)
        if self._max_change is not None:
            # Limited against what was executed, not against what was asked: so the low-pass below
            # can only shorten the step.
            limited = np.clip(allowed, self._last - self._max_change, self._last + self._max_change)
            self.counts.rate_limited += int((limited != allowed).any())
            allowed = limited
        if self._blend is not None:
            smoothed = self._last + self._blend * (allowed - self._last)
            allowed = np.clip(smoothed, self._low, self._high)  # again, because the sum rounds
        self._last = allowed.copy()
        return self._last.copy()
