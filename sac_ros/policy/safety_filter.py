"""The one way to the robot: every command is a request that passes through the same stages."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.fault_reaction import Reaction
from sac_ros.policy.joint_limiter import JointLimiter, JointMeasurement
from sac_ros.policy.limiter_stages import Request, Stage, stages
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
    """finite -> range -> rate limit -> low-pass -> joint limits -> veto, in the command's unit.

    Whatever is asked, the result is finite and within [low, high]. limiter_stages.py names the
    requests that are exempt from a stage, and why. Joint limits come after the rate limit: at a
    limit, effort or velocity is taken away at once.

    Changes are limited against the command in force. Where positions are commanded and nothing is
    in force, because the robot may have been moved, the measured position takes its place.
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
        self._commands_position = spec.kind == "position"
        self._stages = {request: stages(request, spec.kind) for request in Request}
        self._last = self._safe_command.copy()
        self._in_force = False
        self._before = (self._last, self._in_force)
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
        is_limited = np.isfinite(rates)
        self._max_change = rates * self._task.control_period_s if is_limited.any() else None
        self._reach = np.where(is_limited, rates, 0.0) * self._task.control_period_s
        self._last = self._within(self._last)

    @property
    def last(self) -> NDArray[np.float64]:
        """The command [A] in force, or what takes its place while none is."""
        return self._last.copy()

    @property
    def is_in_force(self) -> bool:
        """Say whether the robot follows a command of ours."""
        return self._in_force

    @property
    def unmeasured_positions(self) -> list[str]:
        """Joints that are commanded by position and of which no position is read."""
        if not self._commands_position:
            return []
        pairs = zip(self._task.action.joints, self._position.places, strict=True)
        return [joint for joint, place in pairs if place is None]

    def let_go(self) -> None:
        """Count on no command being in force: from now on others may move the robot."""
        self._in_force = False

    def reset(self, readings: Readings | None = None) -> None:
        """Start from what the robot does while nothing of ours is in force.

        That is its position where positions are commanded and measured, else the safe command.
        """
        start = self._safe_command
        if self._commands_position and readings is not None:
            position = self._position.values(readings)
            start = np.where(np.isfinite(position), position, self._safe_command)
        # One period's motion outside of the range is the farthest from which it can be reached.
        self._last = np.clip(start, self._low - self._reach, self._high + self._reach)
        self._in_force = False

    def hindrance(self, readings: Readings) -> str | None:
        """Return why no command can be given now, or None.

        A position must be known before it can be commanded without a jump, and within one period's
        motion of the range that commands must keep to.
        """
        if self._in_force or not self._commands_position:
            return None
        position = self._position.values(readings)
        within = self._within(position)
        joints = self._task.action.joints
        for index, (joint, place) in enumerate(zip(joints, self._position.places, strict=True)):
            if place is None:
                continue
            if not math.isfinite(position[index]):
                return f"the position of {joint!r} is not known"
            change = np.inf if self._max_change is None else self._max_change[index]
            if abs(position[index] - within[index]) > change:
                return (
                    f"{joint!r} is at {position[index]:.3f}, outside of [{self._low[index]:.3f},"
                    f" {self._high[index]:.3f}] {self._task.action.unit}, and no command within it"
                    " would be free of a jump; move the robot back by hand"
                )
        return None

    def why_silent(self, readings: Readings) -> str | None:
        """Return why neither a reaction nor a last command can be given now, or None."""
        if not self._in_force and self.unmeasured_positions:
            return f"the task reads no position of {self.unmeasured_positions}"
        return self.hindrance(readings)

    def apply(self, command: NDArray[np.float64], readings: Readings) -> NDArray[np.float64]:
        """Return the command [A] that may be executed in place of the one asked for [A]."""
        self.counts.applied += 1
        self.refusal = None
        if not np.isfinite(command).all():
            self.counts.non_finite += 1
            self.refusal = "the command asked for is not finite"
            return self._limited_reaction(readings)
        allowed = self._limit(Request.ACTION, command, readings)
        if self._veto is not None:
            self.refusal = self._veto(allowed.copy(), readings)
            if self.refusal is not None:
                self.counts.vetoed += 1
                return self._limited_reaction(readings)
        return self._take_up(allowed)

    def react(self, readings: Readings | None = None) -> NDArray[np.float64] | None:
        """Return the next command [A] of the task's reaction to a fault.

        `readings` hold only what can be trusted. None where no command can be given: `why_silent`
        tells the reason.
        """
        readings = readings or {}
        if not self._can_start(readings):
            return None
        return self._limited_reaction(readings)

    def stop(self, readings: Readings | None = None) -> NDArray[np.float64] | None:
        """Return the command [A] to leave the robot with.

        A commanded position stays where the robot is, or one period's motion from there where that
        is nearer to the command in force. A velocity or an effort becomes the safe command. None
        where no command can be given: `why_silent` tells the reason.
        """
        readings = readings or {}
        if not self._can_start(readings):
            return None
        request = self._safe_command
        if self._commands_position:
            request = self._near_the_robot(readings)
        return self._take_up(self._limit(Request.LAST_COMMAND, request, readings))

    def take_back(self) -> None:
        """Forget the last command that was returned: it was never sent."""
        self._last, self._in_force = self._before

    def _limit(
        self, request: Request, command: NDArray[np.float64], readings: Readings
    ) -> NDArray[np.float64]:
        """Pass a finite command [A] through the stages that hold for this request."""
        passes = self._stages[request]
        is_asked = request is Request.ACTION
        allowed = command
        if not ((command >= self._low) & (command <= self._high)).all():
            self.counts.clipped += is_asked
            allowed = self._within(command)
        if self._max_change is not None and Stage.RATE in passes:
            # Limited against what was executed, not against what was asked: so the low-pass below
            # can only shorten the step.
            limited = np.clip(allowed, self._last - self._max_change, self._last + self._max_change)
            self.counts.rate_limited += is_asked and bool((limited != allowed).any())
            # A robot that nothing of ours moved yet may be outside of the range.
            allowed = limited if self._in_force else self._within(limited)
        if self._blend is not None and Stage.LOW_PASS in passes:
            smoothed = self._last + self._blend * (allowed - self._last)
            self.counts.smoothed += is_asked and bool((smoothed != allowed).any())
            allowed = self._within(smoothed)  # again, because the sum rounds
        if self.limiter.depends_on_state:
            limited = np.clip(allowed, *self.limiter.bounds(readings))
            self.counts.joint_limited += is_asked and bool((limited != allowed).any())
            allowed = limited
        return allowed

    def _limited_reaction(self, readings: Readings) -> NDArray[np.float64]:
        self.counts.reactions += 1
        request = self._reaction.request(self._last, self._velocity.values(readings))
        return self._take_up(self._limit(Request.REACTION, request, readings))

    def _can_start(self, readings: Readings) -> bool:
        """Begin from where the robot is, if nothing of ours is in force; say whether we can."""
        if self._in_force:
            return True
        if self.why_silent(readings) is not None:
            return False
        self.reset(readings)
        return True

    def _near_the_robot(self, readings: Readings) -> NDArray[np.float64]:
        """Return the command in force [A], at most one period's motion from where the robot is."""
        position = self._position.values(readings)
        near = np.clip(self._last, position - self._reach, position + self._reach)
        return np.where(np.isfinite(position), near, self._last)

    def _take_up(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Remember a command [A] as the one in force; return a copy, which its caller may keep."""
        self._before = (self._last, self._in_force)
        self._last, self._in_force = command.copy(), True
        return self._last.copy()

    def _within(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(command, self._low, self._high)
