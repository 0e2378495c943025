"""What is commanded instead of the policy's action while something is wrong."""

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.action_spec import ActionSpec


class Reaction:
    """The task's `on_fault`, as the next command [A] from the last one.

    safe_command, deactivate: the safe command at once (the node then leaves the active state for
    the latter). hold: the last position. ramp: towards the safe command, across the whole range in
    `ramp_s`, and never faster than the rate limit. damp: an effort against the measured velocity;
    the safe command where velocity is not known.
    """

    def __init__(self, spec: ActionSpec, control_period_s: float) -> None:
        self._on_fault = spec.on_fault
        self._kind = spec.kind
        self._safe_command = np.array(spec.safe_command, dtype=np.float64)
        span = np.array(spec.high, dtype=np.float64) - np.array(spec.low, dtype=np.float64)
        step = span * min(1.0, control_period_s / spec.ramp_s)
        if spec.rate_limit is not None:
            step = np.minimum(step, np.array(spec.rate_limit) * control_period_s)
        self._ramp_step = step
        self._damping = None if spec.damping is None else np.array(spec.damping, dtype=np.float64)

    def next_command(
        self, last: NDArray[np.float64], velocity: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return what follows `last` [A]; `velocity` [A] is None or NaN where it is not known."""
        if self._on_fault == "hold":
            return last.copy()
        if self._on_fault == "ramp":
            return last + np.clip(self._safe_command - last, -self._ramp_step, self._ramp_step)
        if self._on_fault == "damp" and self._damping is not None and velocity is not None:
            return np.where(np.isfinite(velocity), -self._damping * velocity, self._safe_command)
        return self._safe_command.copy()

    def final_command(self, last: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the one command [A] that has to do when no other can follow.

        A position that would be ramped is kept: the jump to the safe one is what a ramp avoids.
        """
        if self._kind == "position" and self._on_fault in ("hold", "ramp"):
            return last.copy()
        return self._safe_command.copy()
