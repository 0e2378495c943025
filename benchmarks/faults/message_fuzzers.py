"""Damage a message of each kind and return the verdict on it in one word.

`unreadable`: the deserialiser of ROS 2 rejected it; `refused`: the code of the nodes rejected it;
`accepted`: it was used, and cannot be told from a valid one. Anything else is a failure.
"""

import hashlib
import json
import math
import multiprocessing
import os
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String, UInt8MultiArray

from benchmarks.faults.command_judge import CommandJudge, Verdicts
from benchmarks.faults.policy_file_fuzzing import mutate
from sac_ros.errors import InputError
from sac_ros.nodes.messages.message_conversion import transition_from_message, transition_message
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.safety_filter import SafetyFilter
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import (
    PolicyUpdate,
    UpdateHeader,
    open_update,
    pack_update,
)
from sac_ros.task.observation import ObservationError
from sac_ros.task.robot_description import limits_of_urdf
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import MAX_COUNT, Transition

TASK = load_task("two_joint_arm")
KEY = bytes(range(32))
URDF = """<robot name="arm"><joint name="shoulder" type="revolute"><limit lower="-2" upper="2.0"
velocity="5" effort="40"/>
<safety_controller soft_lower_limit="-1.9" soft_upper_limit="1.9"/></joint>
<joint name="elbow" type="revolute"><limit lower="-2" upper="2" velocity="6" effort="20"/></joint>
</robot>"""
NUMBERS = (math.nan, math.inf, -math.inf, 1e308, -1e39, 5e-324, -0.0, 2.0**53, 1e6, 0.5)


class BadMessageUsedError(Exception):
    """A damaged message was used."""


def _damaged(message: object, cls: type, rng: np.random.Generator) -> object | None:
    """Return what the deserialiser makes of the message's bytes after a change; None if nothing."""
    content = mutate(serialize_message(message), rng)
    try:
        return deserialize_message(content, cls)  # type: ignore[no-any-return]  # as rclpy types it
    except Exception:
        # Whatever it raises: rclpy's executors log it and go on with the next message.
        return None


def fuzz_signed_update(rng: np.random.Generator) -> str:
    """Change a signed policy update: it must never be opened."""
    return _fuzz_update(rng, KEY)


def fuzz_unsigned_update(rng: np.random.Generator) -> str:
    """Change an unsigned one: if it is opened, its policy is whole."""
    return _fuzz_update(rng, None)


def _fuzz_update(rng: np.random.Generator, key: bytes | None) -> str:
    policy = rng.bytes(int(rng.integers(1, 400)))
    header = UpdateHeader(
        version=3,
        num_rollbacks=0,
        robot_steps=100,
        task_fingerprint=TASK.fingerprint,
        sha256=hashlib.sha256(policy).hexdigest(),
    )
    sent = pack_update(PolicyUpdate(header=header, policy=policy), key)
    if rng.random() < 0.5:
        message = _damaged(UInt8MultiArray(data=array("B", sent)), UInt8MultiArray, rng)
        if message is None:
            return "unreadable"
        received = bytes(message.data)  # type: ignore[attr-defined]
    else:
        received = mutate(sent, rng)
    if received == sent:
        return "unchanged"
    opened = open_update(received, key)
    if opened == open_update(sent, key):
        return "unchanged"  # such as a blank more in the header: it says the same
    if key is not None:
        raise BadMessageUsedError("opened without the key")
    if hashlib.sha256(opened.policy).hexdigest() != opened.header.sha256:
        raise BadMessageUsedError("another policy than the header's")
    return "accepted"


def fuzz_transition(rng: np.random.Generator) -> str:
    """Change a transition's bytes or numbers: what is accepted can be learned from."""
    transition = Transition(
        episode=1,
        step=2,
        obs=rng.standard_normal(TASK.obs_dim).astype(np.float32),
        action=rng.uniform(-1.0, 1.0, TASK.action_dim),
        reward=0.5,
        next_obs=rng.standard_normal(TASK.obs_dim).astype(np.float32),
        terminated=False,
        truncated=False,
    )
    message: object | None = transition_message(transition)
    if rng.random() < 0.5:
        data = message.data  # type: ignore[union-attr]
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = float(rng.choice(NUMBERS))
        if rng.random() < 0.3:
            message.data = data[: int(rng.integers(len(data) + 1))]  # type: ignore[union-attr]
    else:
        message = _damaged(message, Float64MultiArray, rng)
    if message is None:
        return "unreadable"
    used = transition_from_message(message, TASK.obs_dim, TASK.action_dim)  # type: ignore[arg-type]
    numbers = np.concatenate([used.obs, used.action, used.next_obs, [used.reward]])
    counts = (used.episode, used.step, used.policy)
    if not np.isfinite(numbers).all() or not all(0 <= n < MAX_COUNT for n in counts):
        raise BadMessageUsedError(f"not finite, or no counts: {used}")
    return "accepted"


def fuzz_status(rng: np.random.Generator) -> str:
    """Change a policy status: what is accepted has numbers that can be counted with."""
    status = PolicyStatus(
        version=3,
        good_version=2,
        num_rollbacks=1,
        is_rolled_back=bool(rng.integers(2)),
        bad_versions=(3,),
        reason="the return fell",
        baseline_return=100.0,
        bound=80.0,
    )
    text = status.to_json()
    if rng.random() < 0.5:
        message = _damaged(String(data=text), String, rng)
        if message is None:
            return "unreadable"
        received = str(message.data)  # type: ignore[attr-defined]
    else:
        received = _other_value(json.loads(text), rng)
    if received == text:
        return "unchanged"
    used = PolicyStatus.from_json(received)
    counts = (used.version, used.good_version, used.num_rollbacks, used.num_episodes)
    returns = (used.baseline_return, used.rolling_return, used.bound)
    if not all(0 <= count < MAX_COUNT for count in (*counts, *used.bad_versions)):
        raise BadMessageUsedError(f"no counts: {counts}")
    if not all(value is None or math.isfinite(value) for value in returns):
        raise BadMessageUsedError(f"not finite: {returns}")
    return "accepted"


def _other_value(mapping: dict[str, object], rng: np.random.Generator) -> str:
    """Return JSON in which one value is something else altogether."""
    strange: Sequence[object] = (
        *NUMBERS, None, True, -1, 10**30, "x" * 20_000, [], [[]], {}, [math.nan], "\ud800",
    )  # fmt: skip
    key = str(rng.choice(list(mapping)))
    mapping[key] = strange[int(rng.integers(len(strange)))]
    return json.dumps(mapping)


class _Robot:
    """The node's own way from a joint state to a command, one after the other."""

    def __init__(self) -> None:
        self.readings = SensorReadings(TASK)
        self.loop = ControlLoop(TASK, lambda obs: np.tanh(obs[: TASK.action_dim]), None)
        self.verdicts = Verdicts()
        self.judge = CommandJudge(TASK, self.verdicts)
        self.now_s = 0.0
        self.is_waiting = True
        """For the first usable readings: until then the node keeps still."""


def fuzz_joint_state(rng: np.random.Generator, robot: _Robot) -> str:
    """Change a joint state: whatever is read out of it, every command is a safe one."""
    robot.now_s += TASK.control_period_s
    good = JointState(name=["elbow", "shoulder"], position=[0.1, 0.2], velocity=[0.0, 0.1])
    good.header.stamp.sec = 1 + int(robot.now_s)
    good.header.stamp.nanosec = int(robot.now_s % 1.0 * 1e9)
    message: object | None = good
    change = rng.integers(8)
    if change <= 2:
        message = _damaged(good, JointState, rng)
    elif change == 3:
        good.name = [str(rng.choice(["elbow", "x" * 100_000, "", "\u0000", "shoulder"]))] * 2
    elif change == 4:
        good.position = rng.choice(NUMBERS, int(rng.integers(5))).tolist()
    elif change == 5:
        good.velocity = rng.choice(NUMBERS, 2).tolist()
    elif change == 6:
        good.header.stamp.sec = int(rng.integers(-(2**31), 2**31))
    verdict = "accepted"
    if message is None:
        verdict = "unreadable"
    else:
        stamp = stamp_s(message, robot.now_s)
        try:
            robot.readings.store("joint_states", message, stamp, robot.now_s)
        except InputError:
            verdict = "refused"
    _tick(robot)
    return verdict


def _tick(robot: _Robot) -> None:
    """Take a control step as EpisodeCycle does, and judge its command."""
    tick = None
    if robot.readings.problem(robot.now_s) is None:
        with suppress(ObservationError):
            tick = robot.loop.tick(robot.readings.snapshot())
    if tick is not None:
        robot.judge.judge(tick.command)
        robot.is_waiting = tick.termination_reason is not None
        if robot.is_waiting:
            # The node is inactive by now; somebody activates it again.
            robot.loop.start_episode()
            robot.judge.start_anew()
    elif not robot.is_waiting:
        robot.judge.judge(robot.loop.react())
    if robot.verdicts.num_unsafe:
        reasons = dict(robot.verdicts.reasons)
        robot.verdicts.num_unsafe = 0
        robot.verdicts.reasons.clear()
        raise BadMessageUsedError(f"unsafe command: {reasons}")


def fuzz_robot_description(rng: np.random.Generator) -> str:
    """Change a URDF: limits that are taken from it are numbers in order."""
    if rng.random() < 0.3:
        message = _damaged(String(data=URDF), String, rng)
        if message is None:
            return "unreadable"
        text = str(message.data)  # type: ignore[attr-defined]
    else:
        text = mutate(URDF.encode(), rng).decode(errors="surrogateescape")
        number = str(rng.choice(["nan", "inf", "-inf", "1e999", "-5", "0", "x", ""]))
        text = text.replace(str(rng.choice(["2.0", "5", "-1.9", "40"])), number, 1)
    if text == URDF:
        return "unchanged"
    limits = limits_of_urdf(text, TASK.action.joints).limits
    safety_filter = SafetyFilter(TASK)
    try:
        safety_filter.tighten(limits)
    except ValueError:
        return "refused"
    command = safety_filter.apply(np.array([2.5, -2.5]), _SOME_READINGS)
    if not (np.isfinite(command).all() and (np.abs(command) <= 2.5).all()):
        raise BadMessageUsedError(f"limits {limits} let {command} through")
    return "accepted"


_SOME_READINGS = {
    reading.name: np.zeros(reading.size) for reading in load_task("two_joint_arm").readings
}

FUZZERS: dict[str, Callable[[np.random.Generator], str]] = {
    "signed policy update": fuzz_signed_update,
    "unsigned policy update": fuzz_unsigned_update,
    "transition": fuzz_transition,
    "policy status": fuzz_status,
    "robot description": fuzz_robot_description,
}
BATCH_KINDS = (*FUZZERS, "joint state")


def judge_batch(kind: str, seed: int, numbers: Sequence[int]) -> dict[str, int]:
    """Return how often each verdict was given on the messages with these numbers."""
    if multiprocessing.parent_process() is not None:
        _silence_stderr()
    counts: Counter[str] = Counter()
    robot = _Robot()
    for number in numbers:
        rng = np.random.default_rng((seed, BATCH_KINDS.index(kind), number))
        try:
            if kind == "joint state":
                counts[fuzz_joint_state(rng, robot)] += 1
            else:
                counts[FUZZERS[kind](rng)] += 1
        except InputError:
            counts["refused"] += 1
        except BadMessageUsedError as error:
            counts[f"used: {error}"] += 1
        except Exception as error:
            counts[f"raised {type(error).__name__}: {error}"[:120]] += 1
    return dict(counts)


def _silence_stderr() -> None:
    """Discard the middleware's log lines about each message."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
