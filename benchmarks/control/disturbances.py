"""Disturbances of a machine that runs a demonstration: load, disk bursts, stopped processes."""

import os
import random
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STOP_S: Final = 0.2
"""How long a process is stopped each time."""
STOP_INTERVAL_S: Final = (1.0, 4.0)
"""Time between two stops, uniform."""
INSTALLED: Final = ("numpy", "mujoco", "onnx", "matplotlib")
"""Packages that are installed again and again: hundreds of MB, thousands of files."""


class Disturbance(ABC):
    """Disturbs the demonstrations in `demos` until it is told to stop."""

    def __init__(self, demos: list["subprocess.Popen[bytes]"], folder: Path) -> None:
        self.count = 0
        """Installs finished, or stops of a process."""
        self._demos, self._folder = demos, folder
        self._ended = threading.Event()

    def run(self) -> None:
        """Disturb until `end` is called."""
        while not self._ended.is_set():
            self._disturb()

    def end(self) -> None:
        """Let `run` return soon."""
        self._ended.set()

    @abstractmethod
    def _disturb(self) -> None:
        """Disturb once."""


class Nothing(Disturbance):
    """No disturbance."""

    def _disturb(self) -> None:
        self._ended.wait()


class EndlessLoops(Disturbance):
    """Two processes that compute without end."""

    def _disturb(self) -> None:
        loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
        self._ended.wait()
        for loop in loops:
            loop.kill()
            loop.wait()


class PackageInstalls(Disturbance):
    """One package install after the other, into a folder that is thrown away."""

    def _disturb(self) -> None:
        install = subprocess.Popen(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"),
                *("--disable-pip-version-check", "--target", str(self._folder / "installed")),
                *INSTALLED,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while install.poll() is None and not self._ended.wait(0.2):
            pass
        if install.poll() is None:
            install.kill()
        # A failed install, for example without network, does not count.
        self.count += install.wait() == 0


class StoppedProcess(Disturbance):
    """Stops one of the nodes for 0.2 s every few seconds."""

    program = ""

    def _disturb(self) -> None:
        self._ended.wait(random.uniform(*STOP_INTERVAL_S))
        stopped = [pid for demo in self._demos for pid in children(demo.pid, self.program)]
        for pid in stopped:
            _send(pid, signal.SIGSTOP)
        self._ended.wait(STOP_S)
        for pid in stopped:
            _send(pid, signal.SIGCONT)
        self.count += len(stopped)


class StoppedRobot(StoppedProcess):
    """Stops the simulated robot."""

    program = "sim_robot_node"


class StoppedPolicy(StoppedProcess):
    """Stops the policy node."""

    program = "policy_node"


CONDITIONS: Final[dict[str, Callable[[list["subprocess.Popen[bytes]"], Path], Disturbance]]] = {
    "nothing": Nothing,
    "two endless loops": EndlessLoops,
    "package installs": PackageInstalls,
    "robot stopped": StoppedRobot,
    "policy stopped": StoppedPolicy,
}


@contextmanager
def disturbing(
    condition: str, demos: list["subprocess.Popen[bytes]"], folder: Path
) -> Iterator[Disturbance]:
    """Disturb these demonstrations while the block runs."""
    disturbance = CONDITIONS[condition](demos, folder)
    thread = threading.Thread(target=disturbance.run)
    thread.start()
    try:
        yield disturbance
    finally:
        disturbance.end()
        thread.join()


def children(pid: int, program: str) -> list[int]:
    """Return the children of a process that run one of our programs."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            candidates = [int(word) for word in listing.read_text().split()]
        except OSError:
            continue  # the thread, or the process, has just ended
        found += [child for child in candidates if f"{program}()" in _command_line(child)]
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
