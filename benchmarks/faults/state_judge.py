"""What may be sent to a robot in which state, worked out from the task file and what was measured.

Shares no code with filter, cycle and table: a mistake made in both would be no finding.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sac_ros.nodes.control.control_phases import Phase
from sac_ros.task.task_spec import TaskSpec

SLACK = 1e-9
SILENT = (Phase.INACTIVE, Phase.WAITING, Phase.RESETTING)


class StateJudge:
    """Looks at every command, and after every event at what was sent and what was not."""

    def __init__(self, task: TaskSpec) -> None:
        action = task.action
        self._kind, self._on_fault = action.kind, action.on_fault
        self._safe = np.array(action.safe_command)
        assert action.rate_limit is not None
        self._step = np.array(action.rate_limit) * task.control_period_s
        self._max_age_s = min(reading.max_age_s for reading in task.readings)
        self._low, self._high = np.array(action.low), np.array(action.high)
        self._range = np.array([limit.position for limit in action.joint_limits], dtype=float).T
        bound = [getattr(limit, action.kind) for limit in action.joint_limits]
        if action.kind == "position":
            self._low = np.maximum(self._low, self._range[0])
            self._high = np.minimum(self._high, self._range[1])
        else:
            self._low = np.maximum(self._low, -np.array(bound))
            self._high = np.minimum(self._high, np.array(bound))
        self._joints = action.joints
        self._measured = np.full(len(self._joints), np.nan)
        self._measured_s = np.full(len(self._joints), -np.inf)
        self._in_force: NDArray[np.float64] | None = None
        self._now_s = 0.0
        self._sent: list[NDArray[np.float64]] = []
        self.num_commands = 0
        self.violations: Counter[str] = Counter()

    def is_inactive(self, phase: Phase) -> bool:
        """Say whether the node may be activated."""
        return phase is Phase.INACTIVE

    def expect(self, holds: bool, what: str) -> None:
        """Note a violation where this does not hold."""
        if not holds:
            self.violations[what] += 1

    def hear(self, joints: Sequence[str], position: Sequence[float], now_s: float) -> None:
        """Take note of what the robot has measured and the node has been told."""
        for joint, value in zip(joints, position, strict=True):
            index = self._joints.index(joint)
            is_usable = np.isfinite(value) and abs(value) < 1e30
            self._measured[index] = value if is_usable else np.nan
            self._measured_s[index] = now_s

    def forget_measurements(self) -> None:
        """Count on nothing that was measured so far."""
        self._measured_s.fill(-np.inf)

    def begin(self, now_s: float) -> None:
        """Begin to judge an event."""
        self._now_s = now_s
        self._sent.clear()

    def see(self, command: NDArray[np.float64]) -> None:
        """Judge one command [A]."""
        self.num_commands += 1
        self._sent.append(command)
        self.expect(bool(np.isfinite(command).all()), "not finite")
        inside = (command >= self._low - SLACK) & (command <= self._high + SLACK)
        self.expect(bool(inside.all()), "outside of its limits")
        self.expect(self._is_within_rate(command), "faster than its rate")
        self._judge_joint_ends(command)
        self._in_force = command.copy()

    def end(self, before: Phase, after: Phase, *, is_tick: bool) -> None:
        """Judge what an event has sent, by the phases around it."""
        if before in SILENT and after in SILENT and before is not Phase.WAITING:
            is_exit = after is Phase.INACTIVE and before is not Phase.INACTIVE
            self.expect(is_exit or not self._sent, "a command in a silent phase")
        can_send = self._kind != "position" or self._is_position_known()
        can_send |= self._in_force is not None
        if before not in SILENT and after not in SILENT and is_tick and can_send:
            self.expect(bool(self._sent), "no command in a phase that commands")
        leaves = before not in SILENT and after in SILENT
        exits = before is not Phase.INACTIVE and after is Phase.INACTIVE
        if leaves or exits:
            self._judge_last_command(must_send=can_send)
        if after in SILENT:
            self._in_force = None

    def _judge_last_command(self, *, must_send: bool) -> None:
        if self._kind != "position":
            is_safe = bool(self._sent) and bool((self._sent[-1] == self._safe).all())
            self.expect(is_safe, "left without the safe command")
        elif must_send:
            self.expect(bool(self._sent), "left without a last command")

    def _is_position_known(self) -> bool:
        fresh = self._now_s - self._measured_s <= self._max_age_s
        inside = (self._measured >= self._low) & (self._measured <= self._high)
        return bool((fresh & inside).all())

    def _is_within_rate(self, command: NDArray[np.float64]) -> bool:
        """Say whether a command [A] follows from the one in force, or from where the robot is."""
        if self._kind == "position":
            near = np.abs(command - self._measured) <= self._step + SLACK
            if self._in_force is not None:
                near |= np.abs(command - self._in_force) <= self._step + SLACK
            return bool(near.all())
        last = self._safe if self._in_force is None else self._in_force
        within = np.abs(command - last) <= self._step + SLACK
        # An effort or a velocity may be taken away at once.
        low, high = np.minimum(last, self._safe), np.maximum(last, self._safe)
        is_less = (command >= low - SLACK) & (command <= high + SLACK)
        return bool((within | is_less).all()) or self._on_fault == "damp"

    def _judge_joint_ends(self, command: NDArray[np.float64]) -> None:
        """No velocity goes on beyond the end of a joint that is known to be there."""
        if self._kind != "velocity":
            return
        fresh = self._now_s - self._measured_s <= self._max_age_s - SLACK
        beyond = np.where(self._measured >= self._range[1], 1.0, 0.0)
        beyond -= np.where(self._measured <= self._range[0], 1.0, 0.0)
        self.expect(not bool((fresh & (command * beyond > SLACK)).any()), "beyond the joint's end")
