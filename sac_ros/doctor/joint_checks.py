"""Whether position, velocity and command of a joint are of the same joint and the same sign.

A velocity is the change of its position, and a position that is commanded follows its command:
whatever correlates better with another joint's, or with the opposite, was mixed up on its way.
"""

import math
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from sac_ros.doctor.finding import Finding
from sac_ros.doctor.recording import (
    Recording,
    TopicRecord,
    by_source,
    joint_series,
)
from sac_ros.task.task_spec import TaskSpec

SURE, UNSURE = 0.8, 0.5
"""Correlations that show a relation, and that do not rule it out."""
LEAST_SPEED = 0.02
"""A joint's typical speed, in rad/s or m/s, below which it is at rest."""
LEAST_SAMPLES = 20
SCALE_TOLERANCE = 2.0
DEGREES_TOLERANCE = 0.2


def check_joints(
    task: TaskSpec, recording: Recording, contradicted: Collection[str]
) -> Iterator[Finding]:
    """Look at every topic of joint states that has no contradicting publishers."""
    joints_of: dict[str, list[str]] = {}
    for reading in task.readings:
        if reading.is_of_joints and reading.topic not in contradicted:
            joints_of.setdefault(reading.topic, []).extend(reading.joints)
    for topic, names in joints_of.items():
        record, joints = recording.topics[topic], tuple(dict.fromkeys(names))
        sources = by_source(record)
        for heard, source in sources.items():
            present = tuple(joint for joint in joints if joint in heard)
            yield from _check_velocities(source, present)
        all_heard = {joint for heard in sources for joint in heard}
        present = tuple(joint for joint in joints if joint in all_heard)
        yield from _check_following(task, recording, record, present)


def _check_velocities(record: TopicRecord, joints: tuple[str, ...]) -> Iterator[Finding]:
    times_s = record.times_s
    position = joint_series(record, "position", joints)
    velocity = joint_series(record, "velocity", joints)
    whole = np.isfinite(np.hstack([position, velocity])).all(axis=1)
    whole &= np.diff(times_s, prepend=-np.inf) > 0.0
    if not joints or whole.sum() < LEAST_SAMPLES:
        return
    times_s, position, velocity = times_s[whole], position[whole], velocity[whole]
    interval_s = np.diff(times_s)[:, None]
    change = np.diff(position, axis=0) / interval_s
    between = (velocity[1:] + velocity[:-1]) / 2.0
    yield from _compare(change, between, joints, "velocity", "the change of its position")
    for index, joint in enumerate(joints):
        # Medians, because a single jump of the position is no scale.
        moved, said = np.median(np.abs(change[:, index])), np.median(np.abs(between[:, index]))
        ratio = said / moved if moved > LEAST_SPEED else 1.0
        if not 1.0 / SCALE_TOLERANCE < ratio < SCALE_TOLERANCE:
            yield Finding(
                check="velocity scale",
                subject=joint,
                level="error",
                found=f"its velocity is {ratio:.3g} times the change of its position",
                advice=_explain_ratio(ratio),
            )


def _explain_ratio(ratio: float) -> str:
    """Return what makes a velocity this many times the change of its position."""
    of_degrees = math.degrees(1.0)
    for factor, velocity, position in (
        (of_degrees, "degrees per second", "radians"),
        (1.0 / of_degrees, "radians per second", "degrees"),
    ):
        if abs(ratio / factor - 1.0) < DEGREES_TOLERANCE:
            return (
                f"it looks like a velocity in {velocity} and a position in {position}, which differ"
                " by a factor of 57.3; ROS uses radians (REP 103)"
            )
    return "check the unit, the gear ratio and the publisher's time stamps"


def _check_following(
    task: TaskSpec, recording: Recording, record: TopicRecord, joints: tuple[str, ...]
) -> Iterator[Finding]:
    """Compare commands with what follows them, where somebody commanded."""
    spec, commands = task.action, recording.topics[task.action.topic]
    commanded = tuple(joint for joint in spec.joints if joint in joints)
    if spec.kind == "effort" or not commanded or len(commands.samples) < LEAST_SAMPLES:
        return
    if spec.type != "std_msgs/msg/Float64MultiArray" or not record.samples:
        return
    asked = np.array([np.array(sample.message.data) for sample in commands.samples])  # type: ignore[attr-defined]  # checked above
    columns = [spec.joints.index(joint) for joint in commanded]
    measured = joint_series(record, spec.kind, commanded)
    arrivals_s, asked_s = record.arrivals_s, commands.arrivals_s
    held = asked[np.clip(np.searchsorted(asked_s, arrivals_s) - 1, 0, None)][:, columns]
    whole = np.isfinite(measured).all(axis=1) & (arrivals_s > asked_s[0])
    if whole.sum() >= LEAST_SAMPLES:
        yield from _compare(held[whole], measured[whole], commanded, spec.kind, "its command")


def _compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    joints: tuple[str, ...],
    what: str,
    to_what: str,
) -> Iterator[Finding]:
    """Correlate every joint's [N, J] with every other's."""
    moves = (first.std(axis=0) > LEAST_SPEED) | (second.std(axis=0) > LEAST_SPEED)
    check = f"{what} and {to_what.removeprefix('its ').removeprefix('the ')}"
    resting = [joint for joint, is_moving in zip(joints, moves, strict=True) if not is_moving]
    if resting:
        found = f"at rest, so nothing can be said: {resting}"
        yield Finding(check=check, subject="joints", level="ok", found=found)
    for index in np.flatnonzero(moves):
        joint = joints[index]
        own = _correlation(first[:, index], second[:, index])
        others = [_correlation(first[:, index], second[:, other]) for other in range(len(joints))]
        others[index] = 0.0
        best = int(np.argmax(np.abs(others)))
        if own < -UNSURE:
            yield Finding(
                check=check,
                subject=joint,
                level="error",
                found=f"opposite signs (correlation {own:.2f})",
                advice=f"suspected sign flip of {joint}: its {what} goes against {to_what};"
                " correct the sign in the driver",
            )
        elif own < UNSURE and abs(others[best]) > SURE:
            yield Finding(
                check=check,
                subject=joint,
                level="error",
                found=f"correlation {own:.2f}, but {others[best]:.2f} with {joints[best]}",
                advice=f"suspected permutation: what is called the {what} of {joints[best]} belongs"
                f" to {joint}; correct the order of names in the driver",
            )
        else:
            found = f"correlation {own:.2f}"
            yield Finding(check=check, subject=joint, level="ok", found=found)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Pearson's correlation; 0 where one of them is constant."""
    spread = float(first.std() * second.std())
    if spread == 0.0:
        return 0.0
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread)
