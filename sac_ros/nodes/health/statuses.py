"""The health of the policy node as text and levels, for operators; independent of ROS.

The names, levels and the way one status is made of several are those of diagnostic_updater.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sac_ros.nodes.health.gc_pauses import GcReport
from sac_ros.nodes.health.loop_statistics import LoopReport
from sac_ros.policy.safety_filter import FilterCounts
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.task.task_spec import TaskSpec

RATE_WARN, RATE_ERROR = 0.9, 0.5
"""Share of the task's control rate below which a loop is slow, and useless."""
JITTER_WARN = 0.5
"""99th percentile of the deviation between commands, in control periods."""
MISSED_WARN = 0.01
"""Share of the control rate at which ticks are missed."""
GARBAGE_WARN = 0.1
"""Longest pause of Python's garbage collector, in control periods."""
INFERENCE_WARN, INFERENCE_ERROR = 0.25, 1.0
"""99th percentile of the inference time, in control periods."""
AGE_WARN = 0.8
"""Share of a reading's greatest age; beyond 1 it is an error, and the reaction is sent."""
FILTER_WARN = 0.2
"""Share of the commands that the safety filter changed by clipping or limiting."""


class Level(IntEnum):
    """DiagnosticStatus levels."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Status:
    """One line of an operator's display."""

    name: str
    level: Level
    message: str
    values: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class LateTicks:
    """Control steps that were late or missed."""

    late: int
    """So late that the task's reaction was sent."""
    missed: int
    """No command until half a period after it was due."""

    def since(self, before: "LateTicks") -> "LateTicks":
        """Return those that came after `before`."""
        return LateTicks(late=self.late - before.late, missed=self.missed - before.missed)


def loop_status(task: TaskSpec, report: LoopReport, ticks: LateTicks, new: LateTicks) -> Status:
    """Say how regular the commands are; `new` are the ticks since the last report."""
    wanted_hz = 1.0 / task.control_period_s
    level, message = worst(
        (report.rate_hz < RATE_ERROR * wanted_hz, Level.ERROR, "far below the control rate"),
        (new.late > 0, Level.WARN, f"{new.late} late ticks"),
        (
            new.missed > MISSED_WARN * (report.num_commands + new.missed),
            Level.WARN,
            f"{new.missed} missed ticks",
        ),
        (report.rate_hz < RATE_WARN * wanted_hz, Level.WARN, "below the control rate"),
        (
            report.jitter.p99_ms > JITTER_WARN * 1e3 * task.control_period_s,
            Level.WARN,
            "irregular commands",
        ),
    )
    return Status(
        "control loop",
        level,
        message or f"{report.rate_hz:.1f} Hz",
        {
            "rate [Hz]": f"{report.rate_hz:.2f}",
            "wanted rate [Hz]": f"{wanted_hz:.2f}",
            "jitter p50 [ms]": f"{report.jitter.p50_ms:.3f}",
            "jitter p99 [ms]": f"{report.jitter.p99_ms:.3f}",
            "jitter max [ms]": f"{report.jitter.max_ms:.3f}",
            "commands": report.num_commands,
            "late ticks": ticks.late,
            "missed ticks": ticks.missed,
        },
    )


def inference_status(task: TaskSpec, report: LoopReport) -> Status:
    """Say how long the policy takes."""
    share = report.inference.p99_ms / (1e3 * task.control_period_s)
    level, message = worst(
        (share > INFERENCE_ERROR, Level.ERROR, "slower than the control period"),
        (share > INFERENCE_WARN, Level.WARN, "takes much of the control period"),
    )
    return Status(
        "inference",
        level,
        message or f"p99 {report.inference.p99_ms:.3f} ms",
        {
            "p50 [ms]": f"{report.inference.p50_ms:.3f}",
            "p99 [ms]": f"{report.inference.p99_ms:.3f}",
            "max [ms]": f"{report.inference.max_ms:.3f}",
        },
    )


def gc_status(task: TaskSpec, report: GcReport) -> Status:
    """Say how long Python's garbage collector held up the control loop."""
    pauses = report.pauses
    share = pauses.max_ms / (1e3 * task.control_period_s)
    level, message = worst(
        (share > GARBAGE_WARN, Level.WARN, f"a pause of {share:.0%} of the control period")
    )
    return Status(
        "garbage collection",
        level,
        message or f"longest pause {pauses.max_ms:.3f} ms",
        {
            "p50 [ms]": f"{pauses.p50_ms:.3f}",
            "p99 [ms]": f"{pauses.p99_ms:.3f}",
            "max [ms]": f"{pauses.max_ms:.3f}",
            "collections since activation": report.num_collections,
            "longest since activation [ms]": f"{report.longest_ms:.3f}",
            "most processor time since activation [ms]": f"{report.longest_work_ms:.3f}",
        },
    )


def readings_status(
    task: TaskSpec,
    ages_s: Mapping[str, float],
    num_refused: Mapping[str, int],
    new_refused: int,
    unfamiliar: list[str],
) -> Status:
    """Say how old each reading is, and which lie outside of what training has seen."""
    stale = [r.name for r in task.readings if ages_s[r.name] > r.max_age_s]
    old = [r.name for r in task.readings if ages_s[r.name] > AGE_WARN * r.max_age_s]
    level, message = worst(
        (bool(stale), Level.ERROR, f"stale: {', '.join(stale)}"),
        (new_refused > 0, Level.WARN, f"{new_refused} messages out of order, late or malformed"),
        (bool(old), Level.WARN, f"nearly stale: {', '.join(old)}"),
        (bool(unfamiliar), Level.WARN, f"outside of training: {', '.join(unfamiliar)}"),
    )
    values: dict[str, object] = {f"age of {n} [ms]": f"{1e3 * a:.1f}" for n, a in ages_s.items()}
    values |= {f"refused on {topic}": count for topic, count in num_refused.items()}
    return Status("readings", level, message or "all fresh", values)


def filter_status(counts: FilterCounts, before: FilterCounts) -> Status:
    """Say what the safety filter did, since the last report and in all."""
    new = {name: getattr(counts, name) - getattr(before, name) for name in vars(counts)}
    limited = max(new["clipped"], new["rate_limited"], new["joint_limited"])
    share = limited / max(1, new["applied"])
    level, message = worst(
        (new["non_finite"] > 0, Level.ERROR, "the policy's action was not finite"),
        (new["vetoed"] > 0, Level.WARN, f"{new['vetoed']} commands vetoed"),
        (new["reactions"] > 0, Level.WARN, f"{new['reactions']} commands of the fault reaction"),
        (share > FILTER_WARN, Level.WARN, f"limits {share:.0%} of the commands"),
    )
    return Status("safety filter", level, message or "quiet", dict(vars(counts)))


def link_status(
    *,
    learner: str,
    num_listeners: int,
    robot: PolicyStatus,
    new_refused: int,
    num_transitions: int,
    last_return: float | None,
) -> Status:
    """Report who receives the transitions, and which policies were received.

    `learner` is the node whose policies are let in; empty if none is.
    """
    level, message = worst(
        (robot.is_rolled_back, Level.ERROR, f"rolled back: {robot.reason}"),
        (new_refused > 0, Level.WARN, robot.refusal),
        (bool(learner) and num_listeners == 0, Level.WARN, f"{learner} does not listen"),
    )
    idle = f"{num_listeners} listening" if num_listeners else "nobody learns from this robot"
    return Status(
        "learner link",
        level,
        message or idle,
        {
            "listeners": num_listeners,
            "transitions": num_transitions,
            "return of the last episode": last_return,
            **policy_values(robot),
            "swaps": robot.num_swaps,
        },
    )


def policy_values(robot: PolicyStatus) -> dict[str, object]:
    """Return the policies that the robot has received, and their outcome."""
    return {
        "version that runs": robot.version,
        "version found fit": robot.newest_version,
        "version that waits": robot.waiting_version,
        "waits for": robot.waits_for,
        "refused": robot.num_refused,
        "last refusal": robot.refusal,
        "rollbacks": robot.num_rollbacks,
    }


def stop_status(
    estop: str | None,
    trouble: str | None,
    phase: str,
    waits_for: str | None = None,
    wrong_types: Sequence[str] = (),
) -> Status:
    """Say whether the policy is in control, and if not, why; `waits_for` of a silent node."""
    level, message = worst(
        (estop is not None, Level.ERROR, f"emergency stop: {estop}"),
        (trouble is not None, Level.ERROR, f"fault reaction: {trouble}"),
        (bool(wrong_types), Level.ERROR, "; ".join(wrong_types)),
        (waits_for is not None, Level.WARN, f"{phase}: waits for {waits_for}"),
    )
    values = {"phase": phase, "trouble": trouble or "", "waits for": waits_for or ""}
    return Status("state", level, message or phase, values)


def worst(*findings: tuple[bool, Level, str]) -> tuple[Level, str]:
    """Return the highest level among what holds, with all that was found, worst first."""
    found = sorted((-level, text) for holds, level, text in findings if holds)
    if not found:
        return Level.OK, ""
    return Level(-found[0][0]), "; ".join(text for _, text in found)
