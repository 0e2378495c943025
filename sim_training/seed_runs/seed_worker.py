"""The process that trains one seed: `sac-ros train`, with a pipe instead of a terminal."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType

from sac_ros.errors import InputError
from sim_training.seed_runs.seed_process import Line, Message, Status
from sim_training.terminal.stop_request import WorkerStopRequest
from sim_training.training.progress_display import status_text
from sim_training.training.training_loop import train_one
from sim_training.training.training_progress import TrainingProgress


def main() -> None:
    """Train one seed; arguments: pipe descriptor, seconds between statuses, options of train."""
    number, period_s, *train_args = sys.argv[1:]
    # Not inherited: child processes of the compiler would keep the pipe open.
    os.set_inheritable(int(number), False)
    connection = Connection(int(number), readable=False)
    display = MessageDisplay(connection, float(period_s))
    try:
        with contextlib.redirect_stdout(_LineWriter(display.say)):
            sys.exit(train_one(train_args, WorkerStopRequest(), display.of_steps))
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"{error.strerror or error}{where}", file=sys.stderr)
    sys.exit(2)


class MessageDisplay:
    """A display that sends everything to the parent process, which shows it."""

    def __init__(self, connection: Connection, period_s: float) -> None:
        self._connection = connection
        self._period_s = period_s
        self._shown_at_s = time.monotonic()
        self._steps = 0

    def of_steps(self, steps: int) -> "MessageDisplay":
        """Set the run's number of steps; return this display."""
        self._steps = steps
        return self

    def __enter__(self) -> "MessageDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def is_due(self) -> bool:
        """Return whether the period has passed."""
        return time.monotonic() - self._shown_at_s >= self._period_s

    def show(
        self, progress: TrainingProgress, steps_per_s: float, training_return: float | None
    ) -> None:
        """Send the status."""
        self._shown_at_s = time.monotonic()
        text = status_text(progress, self._steps, steps_per_s, training_return)
        self._send(Status(progress.step, text))

    def say(self, line: str) -> None:
        """Send a line."""
        self._send(Line(line))

    def _send(self, message: Message) -> None:
        # If the parent is gone, training still continues to its checkpoint.
        with contextlib.suppress(BrokenPipeError):
            self._connection.send(message)


class _LineWriter(io.StringIO):
    """A text stream that passes each complete line to `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)
