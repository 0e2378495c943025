"""The progress display of several seeds: one bar per seed, or lines with the seed's number."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from sim_training.terminal.console_lines import LinesAboveProgress, PlainLines
from sim_training.training.progress_display import LINE_PERIOD_S, TERMINAL_PERIOD_S


class SeedsDisplay(Protocol):
    """Shows the status of each seed; a context manager."""

    status_period_s: float
    """Seconds between two statuses of a seed."""

    def __enter__(self) -> "SeedsDisplay":
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

    def show(self, seed: int, step: int, words: str) -> None:
        """Show the status of a seed."""
        ...

    def say(self, line: str) -> None:
        """Print a permanent line."""
        ...


def make_seeds_display(seeds: Sequence[int], steps: int) -> SeedsDisplay:
    """Return bars if standard output is a terminal, plain lines otherwise."""
    console = Console()
    return SeedBars(console, seeds, steps) if console.is_terminal else SeedLines()


class SeedBars(LinesAboveProgress):
    """A bar for each seed, redrawn in place."""

    status_period_s = TERMINAL_PERIOD_S

    def __init__(self, console: Console, seeds: Sequence[int], steps: int) -> None:
        super().__init__(
            Progress(
                TextColumn("seed {task.description}"),
                BarColumn(bar_width=8),
                TaskProgressColumn(),
                # Cut to the remaining width: one line per seed, also on a narrow terminal.
                TextColumn(
                    "{task.fields[words]}",
                    table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                ),
                console=console,
                expand=True,
                auto_refresh=False,
            )
        )
        self._bars = {
            seed: self._progress.add_task(str(seed), total=steps, words="waits") for seed in seeds
        }

    def show(self, seed: int, step: int, words: str) -> None:
        """Redraw the seed's bar."""
        self._progress.update(self._bars[seed], completed=step, words=words)
        self._progress.refresh()


class SeedLines(PlainLines):
    """Plain lines, for a file or a pipe."""

    status_period_s = LINE_PERIOD_S

    def show(self, seed: int, step: int, words: str) -> None:
        """Print the status as one line."""
        self.say(f"seed {seed}: {words}")
