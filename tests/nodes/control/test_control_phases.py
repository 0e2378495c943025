"""The table of phases and events, and that the cycle does what it says."""

import math

import numpy as np
import pytest
from recording_link import PENDULUM, Rig, full_force
from source_tree import ROOT

from sac_ros.nodes.control import control_phases
from sac_ros.nodes.control.control_phases import COMMANDING, TABLE, Event, Phase, Sends
from sac_ros.policy import limiter_stages
from sac_ros.task.ending import Ending


def test_every_event_has_a_row_in_every_phase() -> None:
    assert TABLE.keys() == set(Phase)
    for rows in TABLE.values():
        assert rows.keys() == set(Event)


def test_commanding_phase_is_left_for_a_silent_one_with_the_last_command_only() -> None:
    for phase in COMMANDING:
        for row in TABLE[phase].values():
            if row.next not in COMMANDING:
                assert row.sends is Sends.LAST_COMMAND


def test_only_the_last_command_is_sent_by_what_ends_in_a_silent_phase() -> None:
    for rows in TABLE.values():
        for row in rows.values():
            if row.next not in COMMANDING:
                assert row.sends in (Sends.NOTHING, Sends.LAST_COMMAND)


def test_deactivation_ends_every_phase_and_an_active_one_with_the_last_command() -> None:
    for phase, rows in TABLE.items():
        row = rows[Event.DEACTIVATE]
        assert row.next is Phase.INACTIVE
        assert (row.sends is Sends.LAST_COMMAND) is (phase is not Phase.INACTIVE)


def test_emergency_stop_latches_every_active_phase_until_it_is_reset() -> None:
    for phase in set(Phase) - {Phase.INACTIVE}:
        assert TABLE[phase][Event.ESTOP].next is Phase.LATCHED
    kept = set(Event) - {Event.ESTOP_RESET, Event.DEACTIVATE, Event.ACTIVATE}
    assert all(TABLE[Phase.LATCHED][event].next is Phase.LATCHED for event in kept)


def test_documentation_shows_the_table_and_the_exemptions_of_the_code() -> None:
    page = (ROOT / "docs/how_it_works/phases.md").read_text()
    assert control_phases.markdown() in page
    assert limiter_stages.markdown() in page


def rig_in(phase: Phase) -> Rig:
    """A cycle in episodes that has come into this phase by itself."""
    rig = Rig(PENDULUM, full_force, max_episode_steps=1000, max_late_s=1.0)
    if phase in (Phase.RUNNING, Phase.REACTING):
        rig.tick(3)
    if phase is Phase.REACTING:
        rig.tick(3, feed=False)
    elif phase is Phase.LATCHED:
        rig.cycle.latch("pressed", rig.now_s)
    elif phase is Phase.RESETTING:
        rig.tick(3)
        rig.cycle.end_episode(Ending.ABORT, rig.now_s)
        rig.tick()
        rig.tick_without_command()  # asks for the reset
    elif phase is Phase.INACTIVE:
        rig.cycle.deactivate(rig.now_s)
    rig.link.commands.clear()
    rig.link.texts.clear()
    assert rig.cycle.phase is phase
    return rig


def cause(rig: Rig, event: Event) -> None:
    """Do to a cycle what causes an event."""
    cycle, now_s = rig.cycle, rig.now_s
    if event is Event.ACTIVATE:
        cycle.start(now_s)
    elif event in (Event.READY, Event.FAULT):
        rig.now_s += PENDULUM.control_period_s
        if event is Event.READY:
            rig.send()
        else:
            rig.readings.clear()
        cycle.act(rig.now_s)
    elif event is Event.END:
        cycle.end_episode(Ending.ABORT, now_s)
        if cycle.phase is Phase.RUNNING:
            cause(rig, Event.READY)
    elif event is Event.RESET_DONE:
        cycle.finish_reset(rig.link.resets[-1], None, now_s)
    elif event is Event.ESTOP:
        cycle.latch("pressed", now_s)
    elif event is Event.ESTOP_RESET:
        cycle.release(now_s)
    elif event is Event.DEACTIVATE:
        cycle.deactivate(now_s)


BEGINS_ANEW = {Event.END, Event.ESTOP_RESET}
CAUSED_BY_PEOPLE = set(Event) - {Event.RESET}


@pytest.mark.parametrize("event", sorted(CAUSED_BY_PEOPLE, key=lambda event: event.name))
@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
def test_cycle_does_what_the_table_says(phase: Phase, event: Event) -> None:
    row = TABLE[phase][event]
    if (phase, event) == (Phase.WAITING, Event.END):
        return  # only an observation that terminates at once causes it; see the test below
    rig = rig_in(phase)
    cause(rig, event)
    expected = row.next
    # In episodes, what begins a new one asks for a reset at once.
    if event is Event.ACTIVATE or (event in BEGINS_ANEW and phase is not Phase.WAITING):
        expected = Phase.RESETTING if expected is Phase.WAITING else expected
    assert rig.cycle.phase is expected
    sent = [float(command[0]) for command in rig.link.commands]
    expected_commands = {
        Sends.NOTHING: [],
        Sends.ACTION: [300.0],
        Sends.REACTION: [0.0],
        Sends.LAST_COMMAND: [0.0],
    }
    assert sent == expected_commands[row.sends]


def test_episode_that_is_over_before_its_first_command_sends_the_last_one_only() -> None:
    rig = rig_in(Phase.WAITING)
    rig.tick(value=0.3)  # the pole lies already
    assert [float(c[0]) for c in rig.link.commands] == [0.0]
    assert rig.cycle.phase is Phase.RESETTING


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
def test_nothing_is_remembered_across_an_activation(phase: Phase) -> None:
    rig = rig_in(phase)
    rig.intervention.store(np.array([-90.0]), rig.now_s, rig.now_s)
    rig.cycle.end_episode(Ending.ABORT, rig.now_s)
    rig.cycle.deactivate(rig.now_s)
    rig.cycle.start(rig.now_s)
    assert rig.cycle.phase is Phase.RESETTING and rig.cycle.trouble is None
    rig.cycle.act(rig.now_s)
    rig.finish_reset()
    rig.link.commands.clear()
    rig.tick_without_command()
    assert rig.link.commands == []  # what had arrived before does not count
    assert rig.tick(3) == 300.0  # neither the person nor the abort is remembered
    assert rig.cycle.phase is Phase.RUNNING and not rig.cycle.is_intervened


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.RESETTING], ids=lambda phase: phase.name)
def test_silent_phase_says_within_2_s_what_it_waits_for(phase: Phase) -> None:
    rig = rig_in(phase)
    rig.link.is_reset_there = False
    what = {Phase.WAITING: "cart_position", Phase.RESETTING: "a reset service"}[phase]
    began_s = rig.now_s
    while not any(what in text for text in rig.link.texts):
        rig.tick_without_command()
        assert rig.now_s - began_s < 2.0
    assert what in str(rig.cycle.waits_for)


def test_reset_that_takes_its_time_is_said_once() -> None:
    rig = rig_in(Phase.RESETTING)
    for _ in range(200):
        rig.tick_without_command()
    assert rig.link.texts == ["waiting for the robot to be reset"]
    assert rig.cycle.waits_for == "the robot to be reset"


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
def test_clock_that_stands_still_is_said_within_2_s_wherever_the_node_waits(phase: Phase) -> None:
    rig = rig_in(phase)
    began_s, num = rig.now_s, 0
    while rig.now_s - began_s < 2.0:
        rig.now_s += PENDULUM.control_period_s
        rig.cycle.watch_clock(rig.now_s)
        num += 1
    said = any("/clock" in text for text in rig.link.texts)
    assert said is (phase in (Phase.WAITING, Phase.RUNNING, Phase.REACTING))
    assert (len(rig.link.commands) > num / 2) is (phase in COMMANDING)
    assert all(math.isclose(float(c[0]), 0.0) for c in rig.link.commands)
