"""One trial of a search: a `sac-ros train` of its own, watched through its progress.csv."""

import csv
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sim_training.terminal.exit_with_parent import exit_with_parent
from sim_training.training.run_folder import RunFolder


class TrialProcess:
    """Trains in a process of its own, so that trials run side by side and none disturbs another."""

    def __init__(self, folder: RunFolder, options: Sequence[str]) -> None:
        self.folder = folder
        self._num_read = 0
        resume = ["--resume"] if folder.has_checkpoint else []
        words = ["train", *options, "--out", str(folder.path), *resume]
        program = "from sac_ros.command_line import main; main()"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C comes to the search alone, which then stops its trials in order.
                start_new_session=True,
                preexec_fn=exit_with_parent,
            )

    @property
    def log(self) -> Path:
        """What the training prints."""
        return self.folder.path.with_suffix(".log")

    @property
    def exit_status(self) -> int | None:
        """None while it trains."""
        return self._process.poll()

    def new_evaluations(self) -> list[tuple[int, float]]:
        """Return step and mean return of each evaluation since the last call."""
        rows = read_evaluations(self.folder)
        new = rows[self._num_read :]
        self._num_read = max(self._num_read, len(rows))
        return new

    def stop(self) -> None:
        """Have it save a checkpoint and end; wait for that."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def last_output_line(self) -> str:
        """Return the last line that it printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it printed nothing into {self.log}"


def read_evaluations(folder: RunFolder) -> list[tuple[int, float]]:
    """Return step and mean return of each evaluation so far."""
    try:
        with folder.progress_csv.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    # The last row may be written at this moment: it has its last column once it is whole.
    return [(int(row["step"]), float(row["return_mean"])) for row in rows if row.get("return_max")]
