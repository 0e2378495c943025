"""Judge from the task file alone whether a command was safe.

Shares no code with the safety filter, so that a mistake in the filter is found.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import TaskSpec

TOLERANCE = 1e-9
"""Of the command's whole range: sums round."""


@dataclass
class Verdicts:
    """What was found in all commands of one kind of fault."""

    num_commands: int = 0
    num_unsafe: int = 0
    worst_share_of_limit: float = 0.0
    """Greatest |command| over its limit; at most 1."""
    worst_share_of_rate: float = 0.0
    """Greatest change over what the rate limit allows, reactions aside; 0 where there is none."""
    reasons: dict[str, int] = field(default_factory=dict)


class CommandJudge:
    """Looks at every command of one run, in order."""

    def __init__(self, task: TaskSpec, verdicts: Verdicts) -> None:
        action = task.action
        self._verdicts = verdicts
        self._low, self._high = np.array(action.low), np.array(action.high)
        # How far the reaction may go in one tick; it jumps where nothing is said.
        self._reaction_step = np.full(len(action.joints), np.inf)
        for index, joint in enumerate(action.joints):
            for limit in action.joint_limits:
                if limit.joint != joint:
                    continue
                bound = {"velocity": limit.velocity, "effort": limit.effort}.get(action.kind)
                if bound is not None:
                    self._low[index] = max(self._low[index], -bound)
                    self._high[index] = min(self._high[index], bound)
                if action.kind == "position" and limit.position is not None:
                    self._low[index] = max(self._low[index], limit.position[0])
                    self._high[index] = min(self._high[index], limit.position[1])
                if action.kind == "position" and limit.velocity is not None:
                    self._reaction_step[index] = limit.velocity * task.control_period_s
        self._span = self._high - self._low
        self._safe = np.clip(action.safe_command, self._low, self._high)
        self._max_change = np.full(len(action.joints), np.inf)
        if action.rate_limit is not None:
            self._max_change = np.array(action.rate_limit) * task.control_period_s
        if action.kind == "position":
            self._reaction_step = np.minimum(self._reaction_step, self._max_change)
        if action.on_fault == "ramp":
            span = np.array(action.high) - action.low
            ramp_step = np.minimum(span * task.control_period_s / action.ramp_s, self._max_change)
            self._reaction_step = np.minimum(self._reaction_step, ramp_step)
        self._skips_rate = False
        self._last: NDArray[np.float64] | None = None

    def is_reaction(self, command: NDArray[np.float64]) -> bool:
        """Say whether this command [A], coming now, would be the task's reaction."""
        expected = self._safe
        if self._last is not None:
            step = np.clip(self._safe - self._last, -self._reaction_step, self._reaction_step)
            expected = self._last + step
        return bool((np.abs(command - expected) <= TOLERANCE * self._span).all())

    def judge(self, command: NDArray[np.float64], policy_must_not_act: str | None = None) -> bool:
        """Take one command [A] into account; return whether it was the task's reaction.

        `policy_must_not_act` says why only the reaction would be safe now.
        """
        verdicts, slack = self._verdicts, TOLERANCE * self._span
        verdicts.num_commands += 1
        is_reaction = self.is_reaction(command)
        if not np.isfinite(command).all():
            self._blame("not finite")
        elif not ((command >= self._low - slack) & (command <= self._high + slack)).all():
            self._blame("outside of the limits")
        elif policy_must_not_act is not None and not is_reaction:
            self._blame(policy_must_not_act)
        share = np.abs(command) / np.maximum(np.abs(self._low), np.abs(self._high))
        verdicts.worst_share_of_limit = max(verdicts.worst_share_of_limit, float(share.max()))
        if self._last is not None and not is_reaction and not self._skips_rate:
            change = np.abs(command - self._last)
            rate_share = float((change / self._max_change).max())
            verdicts.worst_share_of_rate = max(verdicts.worst_share_of_rate, rate_share)
            if not (change <= self._max_change + slack).all():
                self._blame("changes faster than the rate limit")
        self._last, self._skips_rate = command.copy(), False
        return is_reaction

    def start_anew(self) -> None:
        """Forget the last command: the robot was somewhere else in between."""
        self._last = None

    def skip_rate_once(self) -> None:
        """Let the next command be any from the last: one between them may have been lost."""
        self._skips_rate = True

    def _blame(self, reason: str) -> None:
        self._verdicts.num_unsafe += 1
        self._verdicts.reasons[reason] = self._verdicts.reasons.get(reason, 0) + 1
