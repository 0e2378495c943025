"""The control steps of a recorded run: one per command, with the transition the node published.

Commands have no time stamp. A transition belongs to the command sent just before it, because the
node publishes both together, the command first. If a bag has no send times (SQLite), arrival times
are used instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.bag_reader import Bag, BagError, RecordedMessage
from sac_ros.nodes.messages.command_message import CommandMessageError, command_from_message
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition, TransitionError, unpack_labelled

REORDER_TOLERANCE = 0.25
"""How much earlier than its command a transition may arrive, as a fraction of the interval between
commands."""


@dataclass(frozen=True, kw_only=True)
class TopicNames:
    """Full names of the topics that are read from a bag."""

    sensors: dict[str, str]
    """Full name -> the task's name."""
    command: str
    transitions: str
    estopped: str
    contract: str


@dataclass
class Tick:
    """One control step."""

    received_ns: int
    sent_ns: int
    command: NDArray[np.float64] | None
    """Command in the task's unit [A]; None if missing in the bag, or not valid for this task."""
    is_estopped: bool
    """Whether an emergency stop was active, so that the command was the reaction to it."""
    run: int
    """Number of the node's activation; episodes restart at 0 in each activation."""
    sent: Transition | None = None
    """The transition, published by the node, of the step that ended here."""
    position: tuple[int, int, int] | None = None
    """Run, episode and step number of the step that started here, as counted by the node."""
    stamps_s: NDArray[np.float64] | None = None
    """Time stamps [S] of the messages that the node acted on; None if unknown."""


@dataclass
class RecordedRun:
    """Every control step of one bag, in order."""

    ticks: list[Tick]
    num_unreadable: int = 0
    """Messages on the transitions topic that do not belong to this task."""

    @property
    def num_sent(self) -> int:
        """Number of transitions that the node published in this bag."""
        return sum(tick.sent is not None for tick in self.ticks)

    @property
    def has_stamps(self) -> bool:
        """Whether transitions have the stamps of the messages that the node acted on."""
        return any(tick.sent is not None and tick.sent.obs_stamps_s.size for tick in self.ticks)


def read_run(bag: Bag, task: TaskSpec, names: TopicNames) -> RecordedRun:
    """Return the run's control steps; raise BagError."""
    ticks: list[Tick] = []
    sent: list[tuple[RecordedMessage, Transition]] = []
    num_unreadable, is_estopped = 0, False
    wanted = {names.command, names.transitions, names.estopped}
    for message in bag.messages(wanted):
        if message.topic == names.command:
            command = _command(task, message.content)
            ticks.append(
                Tick(
                    received_ns=message.received_ns,
                    sent_ns=message.sent_ns,
                    command=command,
                    is_estopped=is_estopped,
                    run=0,
                )
            )
        elif message.topic == names.estopped:
            is_estopped = bool(message.content.data)  # type: ignore[attr-defined]
        else:
            row = np.array(message.content.data, dtype=np.float64)  # type: ignore[attr-defined]
            labels = [part.label for part in message.content.layout.dim]  # type: ignore[attr-defined]
            try:
                transition = unpack_labelled(row, labels, task.obs_dim, task.action_dim)
            except TransitionError:
                num_unreadable += 1
                continue
            sent.append((message, transition))
    if not ticks:
        raise BagError(
            f"the bag {bag.path} has no message on {names.command}, so there are no control steps;"
            " record the command topic, or give its name with --remap"
        )
    run = RecordedRun(_match_transitions(ticks, sent), num_unreadable)
    _number_activations(run.ticks)
    _assign_positions(run.ticks)
    return run


def _command(task: TaskSpec, message: object) -> NDArray[np.float64] | None:
    try:
        return command_from_message(task.action, message)
    except CommandMessageError:
        return None


def _match_transitions(
    ticks: list[Tick], sent: Sequence[tuple[RecordedMessage, Transition]]
) -> list[Tick]:
    """Assign each transition to its command; insert a tick where the command is missing."""
    ticks = sorted(ticks, key=lambda tick: tick.sent_ns)
    is_told = any(tick.sent_ns != tick.received_ns for tick in ticks)
    intervals_ns = np.diff([tick.sent_ns for tick in ticks])
    slack_ns = 0 if is_told or len(ticks) < 2 else int(REORDER_TOLERANCE * np.median(intervals_ns))
    merged: list[Tick] = []
    waiting = iter(ticks)
    upcoming = next(waiting, None)
    for message, transition in sorted(sent, key=lambda pair: pair[0].sent_ns):
        while upcoming is not None and upcoming.sent_ns <= message.sent_ns + slack_ns:
            merged.append(upcoming)
            upcoming = next(waiting, None)
        if not merged or merged[-1].sent is not None:
            merged.append(
                Tick(
                    received_ns=message.received_ns,
                    sent_ns=message.sent_ns,
                    command=None,
                    is_estopped=bool(merged) and merged[-1].is_estopped,
                    run=0,
                )
            )
        merged[-1].sent = transition
    if upcoming is not None:
        merged.extend([upcoming, *waiting])
    return merged


def _number_activations(ticks: list[Tick]) -> None:
    """Assign a number to each session, in which episode and step numbers only increase."""
    run, newest, session = 0, (-1, -1), 0
    for tick in ticks:
        if tick.sent is not None:
            place = (tick.sent.episode, tick.sent.step)
            # Recordings from before there were session numbers have 0 in all of them.
            if place <= newest or tick.sent.session != session:
                run += 1
            newest, session = place, tick.sent.session
        tick.run = run


def _assign_positions(ticks: list[Tick]) -> None:
    """Set `position` and `stamps_s` of each tick from the transitions.

    A transition describes both ends of its step, so a single lost transition leaves no gap.
    """
    for tick, after in pairwise([None, *ticks]):
        assert after is not None
        if after.sent is None:
            continue
        sent = after.sent
        after.position = (after.run, sent.episode, sent.step + 1)
        after.stamps_s = sent.next_obs_stamps_s
        if tick is not None and tick.sent is None:
            tick.position = (after.run, sent.episode, sent.step)
            tick.stamps_s = sent.obs_stamps_s
            tick.run = after.run
