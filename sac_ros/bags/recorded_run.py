"""The control steps of a recorded run: each command is one, with what the node sent of it.

Commands carry no time of their own, so a transition belongs to the command sent just before it: the
node sends both in one breath, the command first. Where a bag does not tell when messages were sent
(SQLite), the times of their arrival must do.
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
"""How far a transition may have overtaken its command in the recorder, in intervals of commands."""


@dataclass(frozen=True, kw_only=True)
class TopicNames:
    """Full names of what is read from a bag."""

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
    """In the task's unit [A]; None if the message was none of this task, or is not in the bag."""
    is_estopped: bool
    """An emergency stop was in force: the command was the reaction to it."""
    run: int
    """Counts the activations of the node, whose episodes count from 0 each time."""
    sent: Transition | None = None
    """What the node sent of the step that ended here."""
    position: tuple[int, int, int] | None = None
    """Run, episode and step of the step that began here, as the node counted."""
    stamps_s: NDArray[np.float64] | None = None
    """Of the messages whose readings the node acted on [S]; None where nothing tells."""


@dataclass
class RecordedRun:
    """Every control step of one bag, in order."""

    ticks: list[Tick]
    num_unreadable: int = 0
    """Messages on the topic of transitions that are none of this task."""

    @property
    def num_sent(self) -> int:
        """Transitions of the node in this bag."""
        return sum(tick.sent is not None for tick in self.ticks)

    @property
    def has_stamps(self) -> bool:
        """Say whether the node told which messages it acted on."""
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
        raise BagError(f"the bag {bag.path} has no message on {names.command}: nothing was done")
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
    """Give each transition to the command it came with; a command that is missing gets a tick."""
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
    """Tell sessions apart: in each, episodes and their steps only count up."""
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
    """Work out from the transitions which step began at each tick, and which messages it is of.

    A transition tells both of its ends, so one that is lost leaves no gap.
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
