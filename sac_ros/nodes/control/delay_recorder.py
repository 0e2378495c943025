"""Records what was commanded and what happened, for the delay between the two to be worked out.

Only listens. What it has heard is worked out by another process, which no control tick waits for.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.delay.delay_recording import DelayRecording, RecordedSegment, write_recording
from sac_ros.task.task_spec import TaskSpec

DELAY_PROGRAM = (sys.executable, "-m", "sac_ros.policy.delay.delay_process")


@dataclass(frozen=True, kw_only=True)
class DelaySettings:
    """What to measure, as parameters of the node."""

    duration_s: float
    """Of motion under the policy; 0.0 measures nothing."""
    path: Path
    """Where the YAML goes."""


class DelayRecorder:
    """Collects stretches of motion until there is enough; then has them worked out, once."""

    def __init__(
        self,
        task: TaskSpec,
        settings: DelaySettings,
        say: Callable[[str], None],
        *,
        is_simulated: bool,
    ) -> None:
        self._task = task
        self._is_simulated = is_simulated
        self._settings = settings
        self._say = say
        self._stretches: list[RecordedSegment] = []
        self._current = RecordedSegment()
        self._recorded_s = 0.0
        self.is_recording = settings.duration_s > 0.0
        """Whether it wants to hear more."""

    def note_command(self, command: NDArray[np.float64], now_s: float) -> None:
        """Remember a command [A] that is being sent; `now_s` of the node's clock."""
        self._current.note_command(command, now_s)

    def note_readings(
        self, readings: Mapping[str, NDArray[np.float64]], stamp_s: float | None, now_s: float
    ) -> None:
        """Remember what has just arrived, and its stamp if it has one."""
        if not self._current.command_times_s:
            return
        self._current.note_readings(np.concatenate(list(readings.values())), stamp_s, now_s)
        if self._recorded_s + self._current.duration_s >= self._settings.duration_s:
            self.interrupt()
            self.is_recording = False
            # Not even writing it down is the control thread's business.
            threading.Thread(target=self._work_out, daemon=True).start()

    def interrupt(self) -> None:
        """Begin anew: after a reset or a reaction, nothing follows from what was."""
        if self._current.command_times_s:
            self._recorded_s += self._current.duration_s
            self._stretches.append(self._current)
            self._current = RecordedSegment()

    def _work_out(self) -> None:
        handle, name = tempfile.mkstemp(prefix="sac_ros_delay_", suffix=".npz")
        os.close(handle)
        recording = DelayRecording(
            task=self._task.name,
            control_period_s=self._task.control_period_s,
            is_simulated=self._is_simulated,
            stretches=tuple(self._stretches),
        )
        self._stretches = []
        try:
            write_recording(Path(name), recording)
        except OSError as error:
            self._say(f"delay: not measured: {error}")
            return
        self._say(f"delay: working out {self._recorded_s:.0f} s of motion")
        worker = subprocess.run(
            [*DELAY_PROGRAM, name, str(self._settings.path)],
            capture_output=True,
            text=True,
            check=False,
            # More threads would take the control loop's core.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        said = (worker.stdout or worker.stderr).strip().splitlines()
        self._say(said[-1] if said else f"delay: not measured, status {worker.returncode}")
