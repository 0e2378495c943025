"""What is asked for instead of the policy's action while something is wrong."""

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.action_spec import ActionSpec


class Reaction:
    """The task's `on_fault`, as a request [A] that follows the command in force.

    safe_command, deactivate: the safe command (the node then leaves the active state for the
    latter, and a commanded position is held). hold: the position in force. ramp: towards the safe
    command, across the whole range in `ramp_s`. damp: an effort against the measured velocity; the
    safe command for joints of which the velocity is not known.

    SafetyFilter limits the request: a commanded position moves within its rate limit.
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

    def request(
        self, last: NDArray[np.float64], velocity: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what to ask for after `last` [A]; `velocity` [A] is NaN where it is not known."""
        if self._on_fault == "hold" or self._is_left_in_position:
            return last.copy()
        if self._on_fault == "ramp":
            return last + np.clip(self._safe_command - last, -self._ramp_step, self._ramp_step)
        if self._on_fault == "damp" and self._damping is not None:
            return np.where(np.isfinite(velocity), -self._damping * velocity, self._safe_command)
        return self._safe_command.copy()

    @property
    def _is_left_in_position(self) -> bool:
        return self._kind == "position" and self._on_fault == "deactivate"
