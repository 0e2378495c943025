"""What a person sees while several seeds train: a bar each, or lines that say whose they are."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from sim_training.terminal.console_lines import LinesAboveProgress, PlainLines
from sim_training.training.progress_display import LINE_PERIOD_S, TERMINAL_PERIOD_S


class SeedsDisplay(Protocol):
    """Shows how far each seed is; used as a context manager."""

    status_period_s: float
    """How often each seed should say how far it is."""

    def __enter__(self) -> "SeedsDisplay":
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, seed: int, step: int, words: str) -> None:
        """Show how far a seed is."""
        ...

    def say(self, line: str) -> None:
        """Print a line that stays."""
        ...


def make_seeds_display(seeds: Sequence[int], steps: int) -> SeedsDisplay:
    """Return the display that suits standard output."""
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
                # What is left of the width: one line a seed, however narrow the terminal.
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
