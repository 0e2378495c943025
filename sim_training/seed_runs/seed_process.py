"""Train one seed in a child process, and receive its messages."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TypeAlias

from sim_training.seed_runs.seeds_request import SeedRun
from sim_training.terminal.exit_with_parent import exit_with_parent

_PROGRAM = "from sim_training.seed_runs.seed_worker import main; main()"


@dataclass(frozen=True)
class Status:
    """The training status of a seed."""

    step: int
    text: str


@dataclass(frozen=True)
class Line:
    """A line to print."""

    text: str


Message: TypeAlias = Status | Line


class SeedProcess:
    """Trains one seed in a child process, which sends its status every `status_period_s`."""

    def __init__(self, run: SeedRun, status_period_s: float) -> None:
        self.run = run
        self._is_asked_to_stop = False
        self._connection: Connection | None
        self._connection, theirs = Pipe(duplex=False)
        run.folder.path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [str(theirs.fileno()), str(status_period_s), *run.train_args]
        # Output of libraries goes to a file; on the terminal it would break the progress bars.
        with theirs, self.log.open("ab") as log, _signals_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                preexec_fn=exit_with_parent,
            )

    @property
    def log(self) -> Path:
        """File with its other output, such as a traceback."""
        return self.run.folder.path.with_suffix(".log")

    @property
    def connection(self) -> Connection | None:
        """The pipe for its messages; None after the child has closed it."""
        return self._connection

    @property
    def exit_status(self) -> int | None:
        """Exit status of the process; None while it runs."""
        return self._process.poll()

    def messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived since the last call, without waiting."""
        while self._connection is not None and self._connection.poll():
            try:
                message: Message = self._connection.recv()
            except (EOFError, OSError):
                self._connection.close()
                self._connection = None
                return
            yield message

    def ask_to_stop(self) -> None:
        """Ask it to save a checkpoint and end; further calls do nothing."""
        if not self._is_asked_to_stop:
            self._process.send_signal(signal.SIGTERM)
        self._is_asked_to_stop = True

    def kill(self) -> None:
        """Kill it at once; its last checkpoint is intact."""
        self._process.kill()
        self._process.wait()

    def failure(self) -> str:
        """Return in one line why it failed."""
        status = self._process.wait()
        if status < 0:
            return f"it was killed by {signal.Signals(-status).name}; its log is {self.log}"
        if status > 128:
            return f"it was stopped by {signal.Signals(status - 128).name}; its state is saved"
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {status}"
        # Status 2 means an error that the user can correct; others left a traceback in the log.
        return last if status == 2 else f"{last}; its log is {self.log}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM, so that a child process starts with both blocked.

    In this process they are only delayed. Ctrl-C goes to all processes of a terminal, but only
    this one handles it; WorkerStopRequest unblocks SIGTERM in the child once its handler exists.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
