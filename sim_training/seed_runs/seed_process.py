"""A seed's training as a process of its own, and what it tells the one that started it."""

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
    """How far it is."""

    step: int
    words: str


@dataclass(frozen=True)
class Line:
    """Something to be said once."""

    text: str


Message: TypeAlias = Status | Line


class SeedProcess:
    """Trains one seed; it says how far it is every `status_period_s` seconds."""

    def __init__(self, run: SeedRun, status_period_s: float) -> None:
        self.run = run
        self._is_asked_to_stop = False
        self._connection: Connection | None
        self._connection, theirs = Pipe(duplex=False)
        run.folder.path.parent.mkdir(parents=True, exist_ok=True)
        words = [str(theirs.fileno()), str(status_period_s), *run.words]
        # Whatever libraries print goes to a file: on a terminal it would tear the bars apart.
        with theirs, self.log.open("ab") as log, _signals_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                preexec_fn=exit_with_parent,
            )

    @property
    def log(self) -> Path:
        """What it prints that is not a message, such as a traceback."""
        return self.run.folder.path.with_suffix(".log")

    @property
    def connection(self) -> Connection | None:
        """Where messages come in; None once it has closed it."""
        return self._connection

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def messages(self) -> Iterator[Message]:
        """Yield what has come since the last call, without waiting."""
        while self._connection is not None and self._connection.poll():
            try:
                message: Message = self._connection.recv()
            except (EOFError, OSError):
                self._connection.close()
                self._connection = None
                return
            yield message

    def ask_to_stop(self) -> None:
        """Have it save a checkpoint and end; asked again, it goes on doing so."""
        if not self._is_asked_to_stop:
            self._process.send_signal(signal.SIGTERM)
        self._is_asked_to_stop = True

    def kill(self) -> None:
        """End it at once; its last checkpoint is whole."""
        self._process.kill()
        self._process.wait()

    def failure(self) -> str:
        """Say in one line why it ended, where it did not end well."""
        status = self._process.wait()
        if status < 0:
            return f"it was killed by {signal.Signals(-status).name}; its log is {self.log}"
        if status > 128:
            return f"it was stopped alone by {signal.Signals(status - 128).name}, and is saved"
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {status}"
        # Status 2 is that of mistakes a person can correct; any other left a traceback there.
        return last if status == 2 else f"{last}; its log is {self.log}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let a process that is started meanwhile begin with SIGINT and SIGTERM blocked.

    Here they are only late: Ctrl-C goes to all processes of a terminal at once, but it is handled
    by this one alone, and WorkerStopRequest lets SIGTERM in when it can be remembered.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
