"""The last thing between policy and robot: it cannot be skipped, and it says when it acted."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.fault_reaction import Reaction
from sac_ros.policy.joint_limiter import JointLimiter, JointMeasurement
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec

Veto = Callable[[NDArray[np.float64], Readings], str | None]
"""Command [A] and readings -> why the command must not be executed, or None."""


@dataclass
class FilterCounts:
    """How often each stage changed or refused a command since the filter was made."""

    applied: int = 0
    """Commands that were asked for."""
    non_finite: int = 0
    clipped: int = 0
    rate_limited: int = 0
    smoothed: int = 0
    joint_limited: int = 0
    vetoed: int = 0
    reactions: int = 0
    """Commands that were not the policy's, non-finite and vetoed ones included."""


class SafetyFilter:
    """finite -> clip -> rate limit -> low-pass -> joint limits -> veto, in the command's unit.

    Whatever is asked, the result is finite and within [low, high]. It is within the rate limit of
    the command before, unless a joint limit takes effort or velocity away at once, or the answer
    is the task's reaction to a fault. A commanded position keeps its joint's velocity limit even
    then.
    """

    def __init__(self, task: TaskSpec, veto: Veto | None = None) -> None:
        spec = task.action
        self._task = task
        self._veto = veto
        self._safe_command = np.array(spec.safe_command, dtype=np.float64)
        # First-order low-pass, sampled exactly: the share of the way gone in one period.
        self._blend = (
            None
            if spec.low_pass_hz is None
            else 1.0 - math.exp(-2.0 * math.pi * spec.low_pass_hz * task.control_period_s)
        )
        self._reaction = Reaction(spec, task.control_period_s)
        self._position = JointMeasurement.of(task, "position")
        self._velocity = JointMeasurement.of(task, "velocity")
        self._starts_measured = spec.kind == "position" and self._position.is_complete
        self._last = self._before = self._safe_command.copy()
        self.counts = FilterCounts()
        self.refusal: str | None = None
        """Why the last command that was asked for was answered by the reaction; None if not."""
        self.tighten(())

    def tighten(self, limits: tuple[JointLimit, ...]) -> None:
        """Use these joint limits from now on, where they are narrower than the task's.

        Raises ValueError, and changes nothing, if they leave no command.
        """
        self.limiter = JointLimiter(self._task, (*self._task.action.joint_limits, *limits))
        self._low, self._high = self.limiter.low, self.limiter.high
        rates = self.limiter.max_rate
        if self._task.action.rate_limit is not None:
            rates = np.minimum(rates, self._task.action.rate_limit)
        self._max_change = rates * self._task.control_period_s if np.isfinite(rates).any() else None
        self._last = self._within(self._last)

    def reset(self, readings: Readings | None = None) -> None:
        """Start again from what the robot holds outside of active.

        That is its own position where positions are commanded and measured, else the safe command.
        """
        start = self._safe_command
        if self._starts_measured and readings is not None:
            start = self._position.values(readings)
        self._last = self._within(start)

    @property
    def last(self) -> NDArray[np.float64]:
        """The command [A] in force."""
        return self._last.copy()

    def apply(self, command: NDArray[np.float64], readings: Readings) -> NDArray[np.float64]:
        """Return the command [A] that may be executed in place of the one asked for [A]."""
        self.counts.applied += 1
        self.refusal = None
        allowed = command
        # False for a NaN too, so what is within limits is finite and needs no further look.
        if not ((command >= self._low) & (command <= self._high)).all():
            if not np.isfinite(command).all():
                self.counts.non_finite += 1
                self.refusal = "the command asked for is not finite"
                return self.react(readings)
            self.counts.clipped += 1
            allowed = self._within(command)
        if self._max_change is not None:
            # Limited against what was executed, not against what was asked: so the low-pass below
            # can only shorten the step.
            limited = np.clip(allowed, self._last - self._max_change, self._last + self._max_change)
            self.counts.rate_limited += int((limited != allowed).any())
            allowed = limited
        if self._blend is not None:
            smoothed = self._last + self._blend * (allowed - self._last)
            self.counts.smoothed += int((smoothed != allowed).any())
            allowed = self._within(smoothed)  # again, because the sum rounds
        if self.limiter.depends_on_state:
            limited = np.clip(allowed, *self.limiter.bounds(readings))
            self.counts.joint_limited += int((limited != allowed).any())
            allowed = limited
        if self._veto is not None:
            self.refusal = self._veto(allowed.copy(), readings)
            if self.refusal is not None:
                self.counts.vetoed += 1
                return self.react(readings)
        return self._take_up(allowed)

    def take_back(self) -> None:
        """Forget the last command that was returned: it was never sent."""
        self._last = self._before

    def react(self, readings: Readings | None = None) -> NDArray[np.float64]:
        """Return the next command [A] of the task's reaction to a fault.

        `readings` are given only if they can be trusted.
        """
        self.counts.reactions += 1
        velocity = None if readings is None else self._velocity.values(readings)
        return self._jump_to(self._reaction.next_command(self._last, velocity))

    def stop(self) -> NDArray[np.float64]:
        """Return the command [A] to leave the robot with."""
        return self._jump_to(self._reaction.final_command(self._last))

    def _jump_to(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take up a command [A] at once, but for what the joints themselves cannot do."""
        change = self.limiter.max_rate * self._task.control_period_s
        return self._take_up(
            self._within(np.clip(command, self._last - change, self._last + change))
        )

    def _take_up(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Remember a command [A] as the one in force; return a copy, which its caller may keep."""
        self._before, self._last = self._last, command.copy()
        return self._last.copy()

    def _within(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(command, self._low, self._high)
