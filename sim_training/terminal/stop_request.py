"""Handle SIGINT (Ctrl-C) and SIGTERM as a request to stop, so that a run is saved first."""

import signal
from types import FrameType, TracebackType


class StopRequest:
    """Records the first SIGINT or SIGTERM; a second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def exit_status(self) -> int:
        """The exit status that shells use for the received signal: 128 + its number."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)


class WorkerStopRequest(StopRequest):
    """The stop request of a worker process: repeated signals never interrupt saving.

    A worker starts with both signals blocked, so that none is lost before the handler exists.
    SIGINT stays blocked: Ctrl-C is handled by the parent process, which then sends SIGTERM.
    """

    def __enter__(self) -> "WorkerStopRequest":
        super().__enter__()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Block SIGTERM again: Python removes its signal handlers while it exits."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
