"""One trial of a search: a `sac-ros train` process, observed through its progress.csv."""

import csv
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sim_training.terminal.exit_with_parent import exit_with_parent
from sim_training.training.run_folder import RunFolder


class TrialProcess:
    """Trains one trial in a child process, so that trials run in parallel."""

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
                # A new session, so that Ctrl-C reaches only the search, which stops its trials.
                start_new_session=True,
                preexec_fn=exit_with_parent,
            )

    @property
    def log(self) -> Path:
        """File with the output of the training."""
        return self.folder.path.with_suffix(".log")

    @property
    def exit_status(self) -> int | None:
        """Exit status of the process; None while it trains."""
        return self._process.poll()

    def new_evaluations(self) -> list[tuple[int, float]]:
        """Return step and mean return of each new evaluation since the last call."""
        rows = read_evaluations(self.folder)
        new = rows[self._num_read :]
        self._num_read = max(self._num_read, len(rows))
        return new

    def stop(self) -> None:
        """Ask it to save a checkpoint and end; wait until it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def last_output_line(self) -> str:
        """Return the last line of its output."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"no output in {self.log}"


def read_evaluations(folder: RunFolder) -> list[tuple[int, float]]:
    """Return step and mean return of each evaluation so far."""
    try:
        with folder.progress_csv.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    # The last row may be incomplete while it is written; then its last column is missing.
    return [(int(row["step"]), float(row["return_mean"])) for row in rows if row.get("return_max")]
