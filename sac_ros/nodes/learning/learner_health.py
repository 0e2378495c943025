"""The learner node's state of health in words and levels, for operators. Knows no ROS.

Written like sac_ros/nodes/health/statuses.py, which is the policy node's.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_ros.nodes.health.statuses import Level, Status, policy_values, worst
from sac_ros.policy.updates.policy_status import PolicyStatus

RATE_WINDOW_S = 30.0
"""Time over which rates are means."""
OWED_WARN = 0.5
"""Share of `max_updates_owed` that is owed while the learner could work it off."""
SILENCE_WARN_S = 10.0
"""Time without a transition."""
DISK_WARN_BYTES, DISK_ERROR_BYTES = 2 * 2**30, 200 * 2**20
"""Room left where the learner writes."""


@dataclass(frozen=True, kw_only=True)
class LearnerReport:
    """All that the learner node knows of itself at one moment."""

    at_s: float
    phase: str
    is_learning: bool
    """Whether updates may be taken: not warming up, not compiling, not paused."""
    paused: str | None
    metrics: Mapping[str, float]
    """Losses and temperature of the last update; empty before the first."""
    num_updates: int
    updates_owed: int
    max_updates_owed: int
    num_dropped: int
    utd_ratio: float
    """Updates a robot step that the recipe asks for."""
    robot_steps: int
    num_buffered: int
    buffer_capacity: int
    num_demonstrations: int
    heard_s: float
    """When the last transition came, on the clock of `at_s`; -inf if none has."""
    last_return: float | None
    num_lost: int
    num_out_of_order: int
    num_refused: int
    num_unsaved: int
    free_bytes: int
    version: int
    sent_s: float
    """When the last policy was sent; -inf if none was."""
    best_version: int | None
    """The one in OUT/best_policy.onnx; None while there is none."""
    best_return: float | None
    robot: PolicyStatus | None
    """What the robot said last of the policy it runs."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Means over the last `RATE_WINDOW_S`."""

    updates_per_s: float
    steps_per_s: float

    @property
    def utd_ratio(self) -> float:
        """Updates a robot step; NaN while the robot stands still."""
        return self.updates_per_s / self.steps_per_s if self.steps_per_s else math.nan


class LearnerHealth:
    """Compares each report with earlier ones, so that what is new stands out."""

    def __init__(self) -> None:
        self._window: deque[LearnerReport] = deque()

    def diagnose(self, report: LearnerReport) -> Sequence[Status]:
        """Return one status for each thing that can be at fault."""
        before = self._window[-1] if self._window else report
        self._window.append(report)
        while report.at_s - self._window[0].at_s > RATE_WINDOW_S:
            self._window.popleft()
        return [
            learning_status(report, before, rates_between(self._window[0], report)),
            transitions_status(report, before),
            policies_status(report, before),
        ]


def rates_between(first: LearnerReport, last: LearnerReport) -> Rates:
    """Return the mean rates from one report to another; zeros if no time has passed."""
    passed_s = last.at_s - first.at_s
    if passed_s <= 0.0:
        return Rates(updates_per_s=0.0, steps_per_s=0.0)
    return Rates(
        updates_per_s=(last.num_updates - first.num_updates) / passed_s,
        steps_per_s=(last.robot_steps - first.robot_steps) / passed_s,
    )


def learning_status(report: LearnerReport, before: LearnerReport, rates: Rates) -> Status:
    """Say whether it learns, and keeps up."""
    not_finite = [name for name, value in report.metrics.items() if not math.isfinite(value)]
    new_dropped = report.num_dropped - before.num_dropped
    owed_share = report.updates_owed / report.max_updates_owed
    level, message = worst(
        (report.paused is not None, Level.ERROR, f"paused: {report.paused}"),
        (bool(not_finite), Level.ERROR, f"not finite: {', '.join(not_finite)}"),
        (
            new_dropped > 0,
            Level.WARN,
            f"too slow for utd_ratio {report.utd_ratio:g}: {new_dropped} updates dropped",
        ),
        (
            report.is_learning and owed_share > OWED_WARN,
            Level.WARN,
            f"falls behind: {report.updates_owed} updates owed",
        ),
    )
    return Status(
        "learning",
        level,
        message or f"{report.phase}, {rates.updates_per_s:.1f} updates a second",
        {
            "phase": report.phase,
            "paused": report.paused or "",
            "updates": report.num_updates,
            "updates a second": f"{rates.updates_per_s:.2f}",
            "robot steps a second": f"{rates.steps_per_s:.2f}",
            "updates a robot step": f"{rates.utd_ratio:.3f}",
            "wanted updates a robot step": f"{report.utd_ratio:g}",
            "updates owed": report.updates_owed,
            "updates dropped": report.num_dropped,
            **{name: f"{value:.4g}" for name, value in report.metrics.items()},
        },
    )


def transitions_status(report: LearnerReport, before: LearnerReport) -> Status:
    """Say what comes from the robot, and whether it can be kept."""
    age_s = report.at_s - report.heard_s
    new_lost = report.num_lost - before.num_lost
    new_refused = report.num_refused - before.num_refused
    new_unsaved = report.num_unsaved - before.num_unsaved
    free_mib = report.free_bytes / 2**20
    level, message = worst(
        (new_unsaved > 0, Level.ERROR, f"{new_unsaved} transitions could not be saved"),
        (
            report.free_bytes < DISK_ERROR_BYTES,
            Level.ERROR,
            f"the disk is full but for {free_mib:.0f} MiB",
        ),
        (report.free_bytes < DISK_WARN_BYTES, Level.WARN, f"{free_mib:.0f} MiB of disk are left"),
        (new_refused > 0, Level.WARN, f"{new_refused} messages refused"),
        (new_lost > 0, Level.WARN, f"{new_lost} transitions lost on their way"),
        (
            age_s > SILENCE_WARN_S,
            Level.WARN,
            f"no transition for {age_s:.0f} s" if math.isfinite(age_s) else "no transition yet",
        ),
    )
    return Status(
        "transitions",
        level,
        message or f"{report.num_buffered} in the buffer",
        {
            "robot steps": report.robot_steps,
            "in the buffer": report.num_buffered,
            "buffer capacity": report.buffer_capacity,
            "demonstrations": report.num_demonstrations,
            "age of the last [s]": f"{age_s:.1f}",
            "transitions lost": report.num_lost,
            "transitions out of order": report.num_out_of_order,
            "messages refused": report.num_refused,
            "transitions not saved": report.num_unsaved,
            "disk left [MiB]": f"{free_mib:.0f}",
            "return of the last episode": report.last_return,
        },
    )


def policies_status(report: LearnerReport, before: LearnerReport) -> Status:
    """Say which policy was sent last, and what the robot made of it."""
    robot = report.robot
    refused_before = 0 if before.robot is None else before.robot.num_refused
    level, message = worst(
        (
            robot is not None and robot.is_rolled_back,
            Level.ERROR,
            f"rolled back: {'' if robot is None else robot.reason}",
        ),
        (
            robot is not None and robot.num_refused > refused_before,
            Level.WARN,
            "" if robot is None else robot.refusal,
        ),
        (robot is None, Level.WARN, "no policy node has said which policy it runs"),
    )
    since_s = report.at_s - report.sent_s
    values: dict[str, object] = {
        "version": report.version,
        "sent before [s]": f"{since_s:.1f}" if math.isfinite(since_s) else "never",
        "best version": report.best_version,
        "best return": report.best_return,
    }
    if robot is not None:
        values |= policy_values(robot)
    return Status("policies", level, message or f"version {report.version} sent last", values)
