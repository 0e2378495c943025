"""The signals that end a node, and the end of the process that started it."""

import os
import signal
from types import FrameType
from typing import Final

# Raised by the processor for a fault in native code, which would only be run into again.
_FAULTS: Final = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
_KEPT: Final = _FAULTS | {
    signal.SIGKILL,
    signal.SIGSTOP,  # like SIGKILL, nobody can catch it
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGPIPE,  # an error of the write that causes it
    signal.SIGXFSZ,
}
_IGNORED: Final = {signal.SIGTTIN, signal.SIGTTOU}
"""Would suspend a node in the background of a terminal that it logs to."""
STOP_SIGNALS: Final = frozenset(set(signal.valid_signals()) - _KEPT - _IGNORED)
"""All others that end or suspend a process. A suspended node (Ctrl-Z, SIGTSTP) would leave the
robot with the command that it has, so it ends like the others."""


class StopRequest:
    """Set by every signal that would end or suspend the process; the spinning loop looks at it.

    rclpy's own handlers shut the context down at once, after which nothing can be published any
    more: not even the command that stops the robot.
    """

    def __init__(self) -> None:
        self.is_set = False
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for number in STOP_SIGNALS:
            # Whoever starts it with nohup wants it to outlive the terminal.
            is_nohup = number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
            if not is_nohup:
                signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True


class ParentProcess:
    """Whoever started this process, such as ros2 launch."""

    def __init__(self) -> None:
        self._pid = os.getppid()

    def has_ended(self) -> bool:
        """Say whether it is gone: its children have been given to another one."""
        return os.getppid() != self._pid
