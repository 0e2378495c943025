"""Ctrl-C and `kill` as a request, so that a step is finished and saved before the end."""

import signal
from types import FrameType, TracebackType


class StopRequest:
    """Remembers the first SIGINT or SIGTERM while entered; a second one interrupts at once."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def exit_status(self) -> int:
        """What a shell reports for a process that the received signal ended."""
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
    """For a process that another one stops: however often it is told to, it saves first.

    Such a process is started with both signals held back, so that none comes before it can be
    remembered. SIGINT stays so: Ctrl-C goes to the one that started it, which then sends SIGTERM.
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
        """Hold it back again: Python itself stops remembering when a process ends."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
