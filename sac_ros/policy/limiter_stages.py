"""The stages between every request and the robot, and who is exempt from which, with the reason."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sac_ros.task.action_spec import Quantity


class Request(Enum):
    """Who asks for a command."""

    ACTION = "the action of the policy, blended or not, or of a person"
    REACTION = "the reaction to a fault or to the emergency stop"
    LAST_COMMAND = "the command that the robot is left with"


class Stage(Enum):
    """What a request passes through, in this order."""

    FINITE = "finite"
    RANGE = "range"
    RATE = "rate limit"
    LOW_PASS = "low-pass"
    JOINT_LIMITS = "joint limits"
    VETO = "veto"


@dataclass(frozen=True)
class Exemption:
    """A stage that some requests do not pass through."""

    stage: Stage
    requests: frozenset[Request]
    kinds: frozenset[Quantity]
    reason: str


_UNASKED: Final = frozenset({Request.REACTION, Request.LAST_COMMAND})
_ANY: Final[frozenset[Quantity]] = frozenset({"position", "velocity", "effort"})
_MOTION: Final[frozenset[Quantity]] = frozenset({"velocity", "effort"})
EXEMPTIONS: Final = (
    Exemption(
        Stage.RATE,
        _UNASKED,
        _MOTION,
        "a velocity or an effort may be taken away at once; `ramp` has a rate of its own",
    ),
    Exemption(
        Stage.RATE,
        frozenset({Request.LAST_COMMAND}),
        frozenset({"position"}),
        "it is at most one period's motion from where the robot is, wherever it was sent to",
    ),
    Exemption(Stage.LOW_PASS, _UNASKED, _ANY, "smoothing would delay it"),
    Exemption(Stage.VETO, _UNASKED, _ANY, "it is the answer to a veto"),
)


def stages(request: Request, kind: Quantity) -> frozenset[Stage]:
    """Return the stages that a request passes through, for a command of this kind."""
    exempt = {e.stage for e in EXEMPTIONS if request in e.requests and kind in e.kinds}
    return frozenset(Stage) - exempt


def markdown() -> str:
    """Return the exemptions as a table for the documentation; a test compares it with the page."""
    lines = ["| request | kind | is exempt from | because |", "|---|---|---|---|"]
    for exemption in EXEMPTIONS:
        requests = [request for request in Request if request in exemption.requests]
        who = "; ".join(request.value for request in requests)
        kinds = ", ".join(sorted(exemption.kinds))
        lines.append(f"| {who} | {kinds} | {exemption.stage.value} | {exemption.reason} |")
    return "\n".join(lines) + "\n"
