"""Record the commands and readings of a robot, and write them to a file.

Shapes: n commands, m messages, A action_dim, R readings.
"""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass
class RecordedSegment:
    """Commands and readings without interruption, with their times."""

    command_times_s: "array[float]" = field(default_factory=lambda: array("d"))
    commands: list[NDArray[np.float64]] = field(default_factory=list)
    arrivals_s: "array[float]" = field(default_factory=lambda: array("d"))
    stamps_s: "array[float]" = field(default_factory=lambda: array("d"))
    """NaN for a message without a stamp."""
    readings: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Time between the first and the last message."""
        return self.arrivals_s[-1] - self.arrivals_s[0] if self.arrivals_s else 0.0

    def note_command(self, command: NDArray[np.float64], now_s: float) -> None:
        """Append a command [A]."""
        self.command_times_s.append(now_s)
        self.commands.append(np.array(command))

    def note_readings(
        self, readings: NDArray[np.float64], stamp_s: float | None, now_s: float
    ) -> None:
        """Append readings [R]."""
        self.arrivals_s.append(now_s)
        self.stamps_s.append(np.nan if stamp_s is None else stamp_s)
        self.readings.append(readings)


@dataclass(frozen=True, kw_only=True)
class DelayRecording:
    """A recording of one robot, in segments without interruption."""

    task: str
    control_period_s: float
    is_simulated: bool
    """Whether times are simulated; /clock then follows the messages stamped with it."""
    stretches: tuple[RecordedSegment, ...]


def write_recording(path: Path, recording: DelayRecording) -> None:
    """Write a recording as an .npz file."""
    arrays: dict[str, NDArray[np.float64]] = {}
    for index, stretch in enumerate(recording.stretches):
        arrays[f"{index}/command_times_s"] = np.array(stretch.command_times_s)
        arrays[f"{index}/commands"] = np.array(stretch.commands)
        arrays[f"{index}/arrivals_s"] = np.array(stretch.arrivals_s)
        arrays[f"{index}/stamps_s"] = np.array(stretch.stamps_s)
        arrays[f"{index}/readings"] = np.array(stretch.readings)
    np.savez(
        path,
        task=np.array(recording.task),
        control_period_s=np.array(recording.control_period_s),
        is_simulated=np.array(recording.is_simulated),
        num_stretches=np.array(len(recording.stretches)),
        **arrays,  # type: ignore[arg-type]  # numpy types its own keywords only
    )
