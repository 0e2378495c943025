"""Whether the numbers look like those the policy was trained on."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sac_ros.doctor.finding import Finding
from sac_ros.doctor.range_explanation import explain
from sac_ros.doctor.recording import Recording, TopicRecord, by_source, series
from sac_ros.policy.training_range import TrainingRange
from sac_ros.task.task_spec import Channel, TaskSpec

OFTEN = 0.5
"""Share of the samples outside of what training saw that is an error; below, it is worth a look."""
RARELY = 0.01
GRAVITY_M_S2 = 9.81
REST_TOLERANCE = 0.25
"""Share of gravity by which an accelerometer at rest may be off."""


def check_values(
    task: TaskSpec, training: TrainingRange, recording: Recording
) -> Iterator[Finding]:
    """Compare every channel with the range that training saw."""
    # A robot that stands still, as a simulated one does to the last bit, is no finding.
    is_moving = any(_changes(series(recording.topics[c.topic], c)) for c in task.observation)
    is_moving |= len({str(s.message) for s in recording.topics[task.action.topic].samples}) > 1
    for channel in task.observation:
        record = recording.topics[channel.topic]
        values = series(record, channel)
        # What a publisher does not have leaves its column empty; a NaN that it sends does not.
        sent = [
            (_columns(channel, names), series(source, channel))
            for names, source in by_source(record).items()
            if _is_sent(channel, source)
        ]
        # Joints that are missing are named by the link checks; the others are checked all the same.
        if not any(columns for columns, _ in sent):
            continue
        if not all(np.isfinite(part[:, columns]).all() for columns, part in sent):
            yield Finding(
                check="finite",
                subject=channel.name,
                level="error",
                found="NaN or infinite values",
                advice="the node would send its fault reaction; mend the driver or the sensor",
            )
            continue
        yield from _check_range(channel, training, values)
        if is_moving and not _changes(values):
            yield Finding(
                check="frozen",
                subject=channel.name,
                level="warning",
                found="not one bit has changed",
                advice="other readings, or commands, do change: is this sensor stuck?",
            )


def check_frames(task: TaskSpec, recording: Recording) -> Iterator[Finding]:
    """See, for an IMU at rest, whether gravity and orientation agree with REP 103 and REP 145."""
    for channel in task.observation:
        record = recording.topics[channel.topic]
        if channel.type != "sensor_msgs/msg/Imu" or not record.samples:
            continue
        values = series(record, channel)
        if channel.field == "linear_acceleration":
            yield from _check_gravity(channel, values.mean(axis=0))
        if channel.field == "orientation":
            acceleration = np.array(
                [_vector(sample.message, "linear_acceleration") for sample in record.samples]
            )
            yield from _check_orientation(channel, values, acceleration.mean(axis=0))


def _columns(channel: Channel, names: tuple[str, ...]) -> list[int]:
    """Return which entries of a channel a publisher of these joints has."""
    if not channel.joints:
        return list(range(channel.size))
    return [index for index, joint in enumerate(channel.joints) if joint in names]


def _changes(values: NDArray[np.float64]) -> bool:
    """Say whether any entry [N, size] is not the same all the time."""
    # Column by column without its gaps: several publishers bring some joints each.
    columns = [column[~np.isnan(column)] for column in values.T]
    return any(bool((column[1:] != column[:-1]).any()) for column in columns)


def _is_sent(channel: Channel, source: TopicRecord) -> bool:
    """Say whether a publisher measures this at all; it may leave velocity or effort empty."""
    if not channel.joints:
        return True
    return any(len(getattr(sample.message, channel.field)) for sample in source.samples)


def _check_range(
    channel: Channel, training: TrainingRange, values: NDArray[np.float64]
) -> Iterator[Finding]:
    low, high = training.bounds[channel.name]
    outside = training.outside(channel.name, values) & ~np.isnan(values)
    shares = outside.mean(axis=0) / np.maximum(1e-9, (~np.isnan(values)).mean(axis=0))
    names = channel.joints or tuple(f"entry {index}" for index in range(channel.size))
    is_fine = True
    for index in np.flatnonzero(shares > RARELY):
        is_fine = False
        seen = values[~np.isnan(values[:, index]), index]
        yield Finding(
            check="range",
            subject=f"{channel.name}: {names[index]}",
            level="error" if shares[index] > OFTEN else "warning",
            found=f"{seen.min():.4g} to {seen.max():.4g} {channel.unit}; training saw"
            f" {low[index]:.4g} to {high[index]:.4g} ({shares[index]:.0%} of samples outside)",
            advice=explain(channel, training, values, int(index), names),
        )
    if is_fine:
        yield Finding(
            check="range", subject=channel.name, level="ok", found="within what training saw"
        )


def _check_gravity(channel: Channel, mean: NDArray[np.float64]) -> Iterator[Finding]:
    """See whether the accelerometer measures +g upwards, as at rest it must (REP 145)."""
    norm = float(np.linalg.norm(mean))
    axis = int(np.argmax(np.abs(mean)))
    found = f"mean acceleration {np.round(mean, 2).tolist()} {channel.unit}"
    if abs(norm - 1.0) < REST_TOLERANCE:
        advice = "this looks like multiples of g; ROS uses m/s^2 (REP 103)"
    elif abs(norm - GRAVITY_M_S2) > REST_TOLERANCE * GRAVITY_M_S2:
        advice = "at rest its length must be 9.81 m/s^2; hold the robot still, or mend the scale"
    elif axis != 2:
        advice = (
            f"gravity lies along {'xyz'[axis]}, not z: for an upright robot the IMU's frame is"
            " turned; correct it in the driver"
        )
    elif mean[2] < 0.0:
        advice = "gravity is upside down: at rest z must read +9.81 m/s^2 (REP 145)"
    else:
        yield Finding(check="gravity", subject=channel.name, level="ok", found=found)
        return
    yield Finding(check="gravity", subject=channel.name, level="error", found=found, advice=advice)


def _check_orientation(
    channel: Channel, quaternions: NDArray[np.float64], acceleration: NDArray[np.float64]
) -> Iterator[Finding]:
    """See whether the orientation turns what the accelerometer measures at rest upwards."""
    mean = quaternions.mean(axis=0)
    found = f"mean quaternion (x, y, z, w) {np.round(mean, 3).tolist()}"
    norms = np.linalg.norm(quaternions, axis=1)
    if not (np.abs(norms - 1.0) < 0.02).all():
        advice = "its length is not 1; normalise it in the driver"
    elif np.linalg.norm(acceleration) == 0.0:
        return
    elif _tilt_rad(quaternions[-1], acceleration) < 0.3:
        yield Finding(check="quaternion", subject=channel.name, level="ok", found=found)
        return
    elif _tilt_rad(np.roll(quaternions[-1], -1), acceleration) < 0.3:
        advice = "it looks like w, x, y, z; ROS uses x, y, z, w"
    else:
        advice = (
            "it does not turn the measured gravity upwards: the IMU's frame, or the order of the"
            " quaternion, is another than REP 103 and 145 say"
        )
    yield Finding(
        check="quaternion", subject=channel.name, level="error", found=found, advice=advice
    )


def _tilt_rad(quaternion: NDArray[np.float64], acceleration: NDArray[np.float64]) -> float:
    """Return the angle between up and the acceleration [3] turned by x, y, z, w."""
    x, y, z, w = quaternion
    up = np.array([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)])
    cosine = float(up @ acceleration) / float(np.linalg.norm(acceleration))
    return math.acos(min(1.0, max(-1.0, cosine)))


def _vector(message: object, field: str) -> list[float]:
    value = getattr(message, field)
    return [value.x, value.y, value.z]
