"""Readings in physical units to the observation [O] that the policy was trained on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.task.task_spec import Channel, Reading

LARGEST_VALUE = 1e30
"""In any other unit: float32 holds it, whatever the scale, and no robot measures it."""
LARGEST_BY_UNIT = {
    "rad": 1e8,
    "rad/s": 1e5,
    "m": 1e8,
    "m/s": 1e5,
    "m/s^2": 1e6,
    "N": 1e9,
    "N m": 1e9,
}
"""Unit -> greatest magnitude that any sensor measures; a wheel's angle and UTM metres are large."""

Readings = Mapping[str, NDArray[np.float64]]
"""Reading name -> values [size] in the reading's unit."""


class ObservationError(InputError):
    """A reading is missing, has the wrong length or is not finite."""


def check_reading(reading: Reading, readings: Readings) -> NDArray[np.float64]:
    """Return the values [size] of one reading; raise ObservationError if they cannot be used."""
    values = _values(reading, readings)
    if not is_usable(reading, values):
        low, high = valid_range(reading)
        raise ObservationError(
            f"reading {reading.name!r} is not finite, or outside of what its sensor can measure,"
            f" {low:g} to {high:g} {reading.unit}: {values}"
        )
    return values


def valid_range(reading: Reading) -> tuple[float, float]:
    """Return the least and greatest value that a reading's sensor can measure."""
    largest = LARGEST_BY_UNIT.get(reading.unit, LARGEST_VALUE)
    return reading.valid_range or (-largest, largest)


def is_usable(reading: Reading, values: NDArray[np.float64]) -> bool:
    """Say whether every value [size] is finite and something that the sensor can measure."""
    low, high = valid_range(reading)
    # A NaN compares as False.
    return bool(((values >= low) & (values <= high)).all())


def _values(reading: Reading, readings: Readings) -> NDArray[np.float64]:
    if reading.name not in readings:
        raise ObservationError(f"no values for reading {reading.name!r} [{reading.unit}]")
    values = np.asarray(readings[reading.name], dtype=np.float64)
    if values.shape != (reading.size,):
        raise ObservationError(
            f"reading {reading.name!r} has shape {values.shape}, expected ({reading.size},)"
        )
    return values


class ObservationBuilder:
    """Builds obs [O] once a control step, remembering what channels with a history need."""

    def __init__(self, channels: tuple[Channel, ...], required: tuple[Reading, ...] = ()) -> None:
        """Build from these channels; `required` readings are checked with them, but not in obs."""
        self._channels = channels
        self._checked = (*channels, *required)
        ranges = [valid_range(reading) for reading in self._checked]
        checked_sizes = [reading.size for reading in self._checked]
        self._least, self._greatest = np.repeat(np.array(ranges), checked_sizes, axis=0).T
        sizes = [channel.size for channel in channels]
        self._has_clip = any(channel.clip for channel in channels)
        clips = [channel.clip or (-np.inf, np.inf) for channel in channels]
        self._low, self._high = np.repeat(np.array(clips, dtype=np.float64), sizes, axis=0).T
        self._scale = np.repeat([channel.scale for channel in channels], sizes)
        self._ends = np.cumsum(sizes).tolist()
        self._has_history = any(channel.history > 1 for channel in channels)
        self._histories: dict[str, NDArray[np.float64]] = {}

    def reset(self) -> None:
        """Forget the past; the next reading fills every history."""
        self._histories.clear()

    def build(self, readings: Readings) -> NDArray[np.float32]:
        """Return obs [O] float32: each channel clipped, scaled and joined, oldest values first."""
        # All channels together, because each numpy call costs more than its few numbers; and all
        # are checked before any history moves, so a refused reading leaves no half step.
        values = np.concatenate([_values(reading, readings) for reading in self._checked])
        if not ((values >= self._least) & (values <= self._greatest)).all():
            for reading in self._checked:
                check_reading(reading, readings)  # names the one
        values = values[: self._ends[-1]]
        if self._has_clip:
            values = np.clip(values, self._low, self._high)
        values = values / self._scale
        if self._has_history:
            parts = np.split(values, self._ends[:-1])
            values = np.concatenate(
                [self._remember(c, part) for c, part in zip(self._channels, parts, strict=True)]
            )
        return values.astype(np.float32)

    def _remember(self, channel: Channel, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if channel.history == 1:
            return values
        past = self._histories.get(channel.name)
        # Zeros would be a motion that never happened: an episode starts as if it had been at rest.
        if past is None:
            past = np.tile(values, channel.history)
        else:
            past = np.concatenate([past[channel.size :], values])
        self._histories[channel.name] = past
        return past
