"""End a child process when its parent ends."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def exit_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process when its parent ends, also after kill -9."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
