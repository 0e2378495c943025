"""Print lines above progress bars on a terminal, or to plain standard output."""

from types import TracebackType
from typing import Self

from rich.progress import Progress


class LinesAboveProgress:
    """A context manager that shows progress bars and prints lines above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


class PlainLines:
    """Prints plain lines, for a file or a pipe."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def say(self, line: str) -> None:
        """Print a line and flush it, so that it also appears at once in a pipe."""
        print(line, flush=True)
