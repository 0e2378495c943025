"""The progress display of a training run: a bar on a terminal, plain lines in a file or pipe."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sim_training.terminal.console_lines import LinesAboveProgress, PlainLines
from sim_training.training.training_progress import TrainingProgress

TERMINAL_PERIOD_S = 0.5
LINE_PERIOD_S = 30.0
"""Time between two lines in a log file, so that hours of training stay readable."""


class ProgressDisplay(Protocol):
    """Shows the training status and prints lines; a context manager."""

    def __enter__(self) -> "ProgressDisplay":
        """Start the display."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the terminal."""
        ...

    def is_due(self) -> bool:
        """Return whether it is time to show the status again."""
        ...

    def show(
        self, progress: TrainingProgress, steps_per_s: float, training_return: float | None
    ) -> None:
        """Show the status."""
        ...

    def say(self, line: str) -> None:
        """Print a permanent line."""
        ...


def make_display(steps: int) -> ProgressDisplay:
    """Return a bar if standard output is a terminal, plain lines otherwise."""
    console = Console()
    return TerminalDisplay(console, steps) if console.is_terminal else LineDisplay(steps)


class TerminalDisplay(LinesAboveProgress):
    """A progress bar that is redrawn in place."""

    def __init__(self, console: Console, steps: int) -> None:
        self._steps = steps
        # Redrawn by the training loop: a drawing thread would compete with the learner.
        super().__init__(
            Progress(
                BarColumn(bar_width=12),  # the text beside it needs the rest of 80 columns
                TaskProgressColumn(),
                TextColumn("{task.fields[words]}"),
                console=console,
                auto_refresh=False,
            )
        )
        self._bar = self._progress.add_task("training", total=steps, words="")
        self._shown_at_s = -TERMINAL_PERIOD_S

    def is_due(self) -> bool:
        """Return whether half a second has passed."""
        return time.monotonic() - self._shown_at_s >= TERMINAL_PERIOD_S

    def show(
        self, progress: TrainingProgress, steps_per_s: float, training_return: float | None
    ) -> None:
        """Redraw the bar."""
        self._shown_at_s = time.monotonic()
        words = status_text(progress, self._steps, steps_per_s, training_return)
        self._progress.update(self._bar, completed=progress.step, words=words)
        self._progress.refresh()


class LineDisplay(PlainLines):
    """Plain lines, for a file or a pipe."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._shown_at_s = time.monotonic()

    def is_due(self) -> bool:
        """Return whether it is time for another line."""
        return time.monotonic() - self._shown_at_s >= LINE_PERIOD_S

    def show(
        self, progress: TrainingProgress, steps_per_s: float, training_return: float | None
    ) -> None:
        """Print the status as one line."""
        self._shown_at_s = time.monotonic()
        self.say(status_text(progress, self._steps, steps_per_s, training_return))


@contextmanager
def forward_logs_to(display: ProgressDisplay) -> Iterator[None]:
    """Print this package's log messages, such as "compiling", on the display."""
    handler = logging.Handler()
    handler.emit = lambda record: display.say(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sac_ros")
    level_before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)


def status_text(
    progress: TrainingProgress, steps: int, steps_per_s: float, training_return: float | None
) -> str:
    """Return step, speed, remaining time and returns as one line of text."""
    words = [f"step {progress.step}/{steps}"]
    if steps_per_s > 0.0:
        words.append(f"{steps_per_s:.0f} steps/s")
        words.append(f"{_duration((steps - progress.step) / steps_per_s)} left")
    if training_return is not None:
        words.append(f"return {training_return:.1f}")
    if progress.evaluation_return is not None:
        words.append(f"eval {progress.evaluation_return:.1f}")
    return ", ".join(words)


def _duration(seconds: float) -> str:
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
