"""The states of a policy node as one table: phase x event -> what is sent, the next phase, a word.

PhaseMachine executes this table and nothing else. Two rules, which tests hold: a phase that sends
commands is only left for a silent one with the last command, and what a phase sends does not depend
on how it was entered.
"""

from enum import Enum
from typing import Final, NamedTuple


class Phase(Enum):
    """What a policy node is doing; the value says who commands the robot."""

    INACTIVE = "nobody, or others: the lifecycle node is not active"
    WAITING = "nobody: a complete, fresh observation has yet to come"
    RUNNING = "the policy, or a person"
    REACTING = "the task's reaction to a fault, until the fault is over"
    LATCHED = "the task's reaction, until somebody resets the emergency stop"
    RESETTING = "others: the robot is brought to a start pose"


class Event(Enum):
    """What can happen to a policy node."""

    ACTIVATE = "the lifecycle node is activated"
    READY = "a control step with trusted readings"
    FAULT = "a control step without: missing, stale, stuck, not finite, or late"
    END = "termination, time limit, success or abort"
    RESET = "the episode needs a reset of the robot (run: episodes)"
    RESET_DONE = "the robot has been reset"
    ESTOP = "emergency stop: topic, service, or a fault of the node's own"
    ESTOP_RESET = "~/reset_estop"
    DEACTIVATE = "deactivate, shutdown, a signal, an error"


class Sends(Enum):
    """What the event publishes."""

    NOTHING = "nothing"
    ACTION = "action"
    REACTION = "reaction"
    LAST_COMMAND = "last command"


class Row(NamedTuple):
    """What an event does in a phase."""

    sends: Sends
    next: Phase
    says: str = ""
    """For the operator; `{why}` is the event's reason."""


COMMANDING: Final = frozenset({Phase.RUNNING, Phase.REACTING, Phase.LATCHED})
"""Phases with a command at every control period."""

_EPISODE_ENDED = "episode ended: {why}"
_WAITING = "waiting, no command sent yet: {why}"

TABLE: Final[dict[Phase, dict[Event, Row]]] = {
    Phase.INACTIVE: {
        Event.ACTIVATE: Row(Sends.NOTHING, Phase.WAITING),
        Event.READY: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.FAULT: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.END: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.RESET: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.ESTOP: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.ESTOP_RESET: Row(Sends.NOTHING, Phase.INACTIVE),
        Event.DEACTIVATE: Row(Sends.NOTHING, Phase.INACTIVE),
    },
    Phase.WAITING: {
        Event.ACTIVATE: Row(Sends.NOTHING, Phase.WAITING),
        Event.READY: Row(Sends.ACTION, Phase.RUNNING),
        Event.FAULT: Row(Sends.NOTHING, Phase.WAITING, _WAITING),
        Event.END: Row(Sends.LAST_COMMAND, Phase.WAITING, "ended before the first command: {why}"),
        Event.RESET: Row(Sends.NOTHING, Phase.RESETTING),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.WAITING),
        Event.ESTOP: Row(Sends.REACTION, Phase.LATCHED),
        Event.ESTOP_RESET: Row(Sends.NOTHING, Phase.WAITING),
        Event.DEACTIVATE: Row(Sends.LAST_COMMAND, Phase.INACTIVE),
    },
    Phase.RUNNING: {
        Event.ACTIVATE: Row(Sends.LAST_COMMAND, Phase.WAITING),
        Event.READY: Row(Sends.ACTION, Phase.RUNNING),
        Event.FAULT: Row(Sends.REACTION, Phase.REACTING, "reaction: {why}"),
        Event.END: Row(Sends.LAST_COMMAND, Phase.WAITING, _EPISODE_ENDED),
        Event.RESET: Row(Sends.LAST_COMMAND, Phase.RESETTING),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.RUNNING),
        Event.ESTOP: Row(Sends.REACTION, Phase.LATCHED),
        Event.ESTOP_RESET: Row(Sends.NOTHING, Phase.RUNNING),
        Event.DEACTIVATE: Row(Sends.LAST_COMMAND, Phase.INACTIVE),
    },
    Phase.REACTING: {
        Event.ACTIVATE: Row(Sends.LAST_COMMAND, Phase.WAITING),
        Event.READY: Row(Sends.ACTION, Phase.RUNNING, "all is well again; a new episode begins"),
        Event.FAULT: Row(Sends.REACTION, Phase.REACTING, "reaction: {why}"),
        Event.END: Row(Sends.LAST_COMMAND, Phase.WAITING, _EPISODE_ENDED),
        Event.RESET: Row(Sends.LAST_COMMAND, Phase.RESETTING),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.REACTING),
        Event.ESTOP: Row(Sends.REACTION, Phase.LATCHED),
        Event.ESTOP_RESET: Row(Sends.NOTHING, Phase.REACTING),
        Event.DEACTIVATE: Row(Sends.LAST_COMMAND, Phase.INACTIVE),
    },
    Phase.LATCHED: {
        Event.ACTIVATE: Row(Sends.LAST_COMMAND, Phase.WAITING),
        Event.READY: Row(Sends.REACTION, Phase.LATCHED),
        Event.FAULT: Row(Sends.REACTION, Phase.LATCHED),
        Event.END: Row(Sends.NOTHING, Phase.LATCHED),
        Event.RESET: Row(Sends.NOTHING, Phase.LATCHED),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.LATCHED),
        Event.ESTOP: Row(Sends.REACTION, Phase.LATCHED),
        Event.ESTOP_RESET: Row(Sends.LAST_COMMAND, Phase.WAITING),
        Event.DEACTIVATE: Row(Sends.LAST_COMMAND, Phase.INACTIVE),
    },
    Phase.RESETTING: {
        Event.ACTIVATE: Row(Sends.NOTHING, Phase.WAITING),
        Event.READY: Row(Sends.NOTHING, Phase.RESETTING),
        Event.FAULT: Row(Sends.NOTHING, Phase.RESETTING),
        Event.END: Row(Sends.NOTHING, Phase.RESETTING),
        Event.RESET: Row(Sends.NOTHING, Phase.RESETTING),
        Event.RESET_DONE: Row(Sends.NOTHING, Phase.WAITING),
        Event.ESTOP: Row(Sends.REACTION, Phase.LATCHED),
        Event.ESTOP_RESET: Row(Sends.NOTHING, Phase.RESETTING),
        Event.DEACTIVATE: Row(Sends.LAST_COMMAND, Phase.INACTIVE),
    },
}


def markdown() -> str:
    """Return phases and table for the documentation: a row for each event, a column for each phase.

    A test compares it with the page.
    """
    lines = ["| phase | who commands |", "|---|---|"]
    lines += [f"| {phase.name.lower()} | {phase.value} |" for phase in Phase]
    lines += ["", "| event | " + " | ".join(phase.name.lower() for phase in Phase) + " |"]
    lines.append("|---" * (1 + len(Phase)) + "|")
    for event in Event:
        cells = [_cell(phase, TABLE[phase][event]) for phase in Phase]
        lines.append(f"| **{event.name.lower()}**: {event.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(phase: Phase, row: Row) -> str:
    sends = "" if row.sends is Sends.NOTHING else row.sends.value
    leads_to = "" if row.next is phase else f"→ {row.next.name.lower()}"
    return ", ".join(filter(None, (sends, leads_to)))
