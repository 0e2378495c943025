"""Robots that others move: what is sent to them in every phase, by kind of command."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from recording_link import PENDULUM, Rig, full_force

from sac_ros.nodes.control.control_phases import Phase
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.task_spec import TaskSpec, load_task

ARM = load_task("two_joint_arm")
MAX_CHANGE = np.array(ARM.action.rate_limit) * ARM.control_period_s
POSITION_FAULTS = ("hold", "ramp", "safe_command", "deactivate")


def arm_task(**action: object) -> TaskSpec:
    return replace(ARM, action=replace(ARM.action, **action))


def pendulum_task(**action: object) -> TaskSpec:
    return replace(PENDULUM, action=replace(PENDULUM.action, **action))


def followed(rig: Rig, num: int) -> float:
    """Let a robot follow its commands; return where it is."""
    position = 0.0
    for _ in range(num):
        position = float(rig.tick(value=position)[0])
    return position


def send_positions(rig: Rig, value: float) -> None:
    """A driver that has no velocities."""
    rig.now_s += ARM.control_period_s
    state = SimpleNamespace(name=list(ARM.action.joints), position=[value] * 2, velocity=[])
    rig.cycle.receive("joint_states", state, rig.now_s, rig.now_s)


@pytest.mark.parametrize("on_fault", POSITION_FAULTS)
@pytest.mark.parametrize("position", [1.2, -2.0, 2.4])
@pytest.mark.parametrize("episodes", [None, 1000])
def test_arm_that_is_only_watched_is_left_where_it_is(
    on_fault: str, position: float, episodes: int | None
) -> None:
    rig = Rig(arm_task(on_fault=on_fault), lambda obs: np.zeros(2), max_episode_steps=episodes)
    for _ in range(3):
        send_positions(rig, position)
        rig.cycle.act(rig.now_s)
    assert rig.cycle.phase is Phase.WAITING and rig.link.commands == []
    rig.cycle.deactivate(rig.now_s)
    np.testing.assert_allclose(rig.link.commands, [[position] * 2])


@pytest.mark.parametrize("on_fault", POSITION_FAULTS)
def test_emergency_stop_of_a_watched_arm_starts_from_where_it_is(on_fault: str) -> None:
    rig = Rig(arm_task(on_fault=on_fault), lambda obs: np.zeros(2))
    send_positions(rig, 1.2)
    rig.cycle.latch("button", rig.now_s)
    last = np.full(2, 1.2)
    for _ in range(30):
        assert (np.abs(rig.link.commands[-1] - last) <= MAX_CHANGE + 1e-12).all()
        last = rig.link.commands[-1]
        send_positions(rig, float(last[0]))
        rig.cycle.act(rig.now_s)
    assert len(rig.link.commands) == 31
    rig.cycle.deactivate(rig.now_s)
    assert (np.abs(rig.link.commands[-1] - last) <= MAX_CHANGE + 1e-12).all()


@pytest.mark.parametrize("leave", ["deactivate", "latch"])
@pytest.mark.parametrize("is_reset", [True, False], ids=["after the reset", "in the reset"])
def test_arm_that_somebody_resets_is_never_sent_back(leave: str, is_reset: bool) -> None:
    rig = Rig(ARM, lambda obs: np.array([-0.8, -0.8]), max_episode_steps=200)
    assert followed(rig, 201) == pytest.approx(-2.0, abs=0.01)
    assert rig.cycle.phase is Phase.RESETTING
    rig.cycle.act(rig.now_s)
    if is_reset:
        rig.finish_reset()
    rig.link.commands.clear()
    rig.now_s += ARM.control_period_s
    rig.send(1.2)
    if leave == "latch":
        rig.cycle.latch("button", rig.now_s)
    else:
        rig.cycle.deactivate(rig.now_s)
    assert (np.abs(rig.link.commands[-1] - 1.2) <= MAX_CHANGE + 1e-12).all()


def test_arm_of_which_no_position_is_known_gets_no_command_and_the_log_says_so() -> None:
    rig = Rig(ARM, lambda obs: np.zeros(2))
    rig.tick_without_command()
    rig.cycle.latch("button", rig.now_s)
    rig.tick_without_command()
    assert rig.link.commands == []
    assert any("the position of 'shoulder' is not known" in text for text in rig.link.texts)
    send_positions(rig, 0.7)
    rig.cycle.act(rig.now_s)  # known at last: the reaction begins
    np.testing.assert_allclose(rig.link.commands, [[0.7, 0.7]], atol=MAX_CHANGE[0])
    rig = Rig(ARM, lambda obs: np.zeros(2))
    rig.cycle.deactivate(rig.now_s)
    assert rig.link.commands == [] and "no last command sent" in rig.link.texts[-1]


def test_arm_far_outside_of_its_range_is_not_pulled_into_it() -> None:
    rig = Rig(ARM, lambda obs: np.zeros(2))
    for _ in range(100):
        rig.now_s += ARM.control_period_s
        rig.send(3.0)
        rig.cycle.act(rig.now_s)
    assert rig.link.commands == []
    assert "'shoulder' is at 3.000, outside of [-2.500, 2.500] rad" in str(rig.cycle.waits_for)
    rig.tick(value=2.55)  # somebody moves it back: half a period's motion beyond
    assert rig.cycle.phase is Phase.RUNNING
    assert (np.abs(rig.link.commands[-1] - 2.55) <= MAX_CHANGE + 1e-12).all()


def test_arm_with_no_reaction_named_holds_and_one_with_the_safe_command_keeps_its_rate() -> None:
    for on_fault in ("hold", "safe_command"):
        task = arm_task(on_fault=on_fault, joint_limits=())
        rig = Rig(task, lambda obs: np.array([0.8, 0.8]))
        assert followed(rig, 200) == pytest.approx(2.0, abs=0.01)
        held = rig.link.commands[-1]
        for _ in range(8):
            rig.tick(feed=False)
        assert rig.cycle.phase is Phase.REACTING
        steps = np.abs(np.diff(np.array(rig.link.commands), axis=0))
        assert (steps <= MAX_CHANGE + 1e-12).all()
        assert (rig.link.commands[-1] == held).all() is np.bool_(on_fault == "hold")


@pytest.mark.parametrize("resets", [None, 500], ids=["continuous", "episodes"])
@pytest.mark.parametrize(
    "action",
    [
        {"kind": "velocity", "on_fault": "ramp", "ramp_s": 1.0},
        {"on_fault": "ramp", "ramp_s": 1.0},
        {"on_fault": "damp", "damping": (50.0,)},
    ],
    ids=["velocity ramp", "effort ramp", "effort damp"],
)
def test_stop_that_is_reset_in_the_middle_of_a_reaction_leaves_the_safe_command(
    action: dict[str, object], resets: int | None
) -> None:
    rig = Rig(pendulum_task(**action), full_force, max_episode_steps=resets)
    rig.tick(40, value=0.15)
    rig.cycle.latch("button", rig.now_s)
    assert rig.tick(3, value=0.15)[0] != 0.0
    rig.link.is_reset_there = False
    rig.cycle.release(rig.now_s)
    assert rig.link.commands[-1] == 0.0
    num = len(rig.link.commands)
    for _ in range(500):
        rig.tick_without_command()
    assert len(rig.link.commands) == num
    assert len([text for text in rig.link.texts if "wait" in text]) > 0


@pytest.mark.parametrize("trouble", ["latch", "veto"])
def test_ramp_of_a_velocity_ends_at_the_joint_limit_that_the_policy_keeps(trouble: str) -> None:
    action = PENDULUM.action
    task = replace(
        pendulum_task(
            kind="velocity",
            unit="m/s",
            low=(-3.0,),
            high=(3.0,),
            on_fault="ramp",
            ramp_s=3.0,
            joint_limits=(JointLimit(joint=action.joints[0], position=(-1.0, 1.0)),),
        ),
        termination=(),
    )
    is_vetoed = [False]
    rig = Rig(
        task,
        lambda obs: np.array([0.7]),
        veto=lambda command, readings: "no" if is_vetoed[0] else None,
    )
    position = 0.0

    def step() -> None:
        nonlocal position
        rig.now_s += task.control_period_s
        state = SimpleNamespace(name=["slider", "hinge"], position=[position, 0.0], velocity=[0, 0])
        rig.cycle.receive("joint_states", state, rig.now_s, rig.now_s)
        rig.cycle.act(rig.now_s)
        position += float(rig.link.commands[-1][0]) * task.control_period_s

    while position < 0.9:
        step()
    assert rig.link.commands[-1] > 1.0
    is_vetoed[0] = trouble == "veto"
    if trouble == "latch":
        rig.cycle.latch("button", rig.now_s)
    for _ in range(200):
        step()
        assert position <= 1.0 + 1e-9
    assert rig.link.commands[-1] == 0.0


@pytest.mark.parametrize("velocity", [-1e32, 1e200, np.nan, -np.inf])
def test_damping_never_uses_a_velocity_that_the_observation_refuses(velocity: float) -> None:
    rig = Rig(pendulum_task(on_fault="damp", damping=(2.0,)), lambda obs: np.array([0.1]))
    rig.tick(20)
    for _ in range(5):
        rig.tick(value=velocity)
        assert rig.cycle.phase is Phase.REACTING and rig.link.commands[-1] == 0.0
    rig.cycle.latch("button", rig.now_s)
    assert rig.link.commands[-1] == 0.0
    rig.tick(value=0.1)
    assert rig.link.commands[-1] == pytest.approx(-0.2)
