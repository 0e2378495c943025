"""Readings in physical units to the observation [O] that the policy was trained on."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.task.task_spec import Channel, Reading

Readings = Mapping[str, NDArray[np.float64]]
"""Reading name -> values [size] in the reading's unit."""


class ObservationError(InputError):
    """A reading is missing, has the wrong length or is not finite."""


def check_reading(reading: Reading, readings: Readings) -> NDArray[np.float64]:
    """Return the values [size] of one reading; raise ObservationError if they cannot be used."""
    if reading.name not in readings:
        raise ObservationError(f"no values for reading {reading.name!r} [{reading.unit}]")
    values = np.asarray(readings[reading.name], dtype=np.float64)
    if values.shape != (reading.size,):
        raise ObservationError(
            f"reading {reading.name!r} has shape {values.shape}, expected ({reading.size},)"
        )
    if not np.isfinite(values).all():
        raise ObservationError(f"reading {reading.name!r} is not finite: {values}")
    return values


class ObservationBuilder:
    """Builds obs [O] once a control step, remembering what channels with a history need."""

    def __init__(self, channels: tuple[Channel, ...]) -> None:
        self._channels = channels
        self._histories: dict[str, NDArray[np.float64]] = {}

    def reset(self) -> None:
        """Forget the past; the next reading fills every history."""
        self._histories.clear()

    def build(self, readings: Readings) -> NDArray[np.float32]:
        """Return obs [O] float32: each channel clipped, scaled and joined, oldest values first."""
        # All are checked before any history moves, so a refused reading leaves no half step.
        parts = [self._scale(channel, readings) for channel in self._channels]
        return np.concatenate(
            [self._remember(c, part) for c, part in zip(self._channels, parts, strict=True)]
        ).astype(np.float32)

    def _scale(self, channel: Channel, readings: Readings) -> NDArray[np.float64]:
        values = check_reading(channel, readings)
        if channel.clip is not None:
            values = np.clip(values, *channel.clip)
        return values / channel.scale

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
