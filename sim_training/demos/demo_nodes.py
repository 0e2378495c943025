"""The ROS 2 nodes of a demonstration: each a process, all in a domain of their own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from sac_ros.errors import InputError
from sim_training.demos.ros_domain import DEMO_DOMAINS, claim_domain


class DemoError(InputError):
    """A process of a demonstration failed."""


def require_rclpy() -> None:
    """Raise DemoError before a training rather than after it."""
    probe = "import rclpy"
    if subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode != 0:
        raise DemoError(
            "rclpy is not installed; source your ROS 2 installation, or: pip install 'sac_ros[ros]'"
        )


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does: every node in it is then ended, too."""
    previous = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def node_process(program: str, logs: Path, *parameters: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our nodes as a process, and end it with the block."""
    # Even if this process is killed by kill -9, no node stays behind.
    start = (
        "from sim_training.terminal.exit_with_parent import exit_with_parent; exit_with_parent();"
        f"from sac_ros.nodes.process.executables import {program}; {program}()"
    )
    arguments = [item for parameter in parameters for item in ("-p", parameter)]
    with (logs / f"{program}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", start, "--ros-args", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches this process alone, which then ends policy and robot in order.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(5.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def terminate_on_error(
    *processes: "subprocess.Popen[bytes]",
) -> Callable[
    [type[BaseException] | None, BaseException | None, TracebackType | None],
    None,
]:
    """Return a callback for ExitStack.push: after an error or Ctrl-C, all processes end at once.

    Without an error they end one after the other, so that each hears the last words of the others.
    """

    def end(
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            for process in processes:
                process.terminate()

    return end


@contextmanager
def own_environment(*, confined: bool = False) -> Iterator[None]:
    """Keep the nodes on this machine, in a ROS domain of their own, unless told otherwise.

    `confined`: on this machine whatever the environment says, because faults are injected.
    """
    domain, claim = claim_domain(DEMO_DOMAINS)
    defaults = {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    # An emergency stop of a demonstration is not one of the robot's own node of that name.
    with claim, tempfile.TemporaryDirectory() as ros_home:
        os.environ["ROS_HOME"] = ros_home
        for name, value in defaults.items():
            os.environ.setdefault(name, value)
        if confined:
            os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        yield


def last_line(logs: Path, *programs: str) -> str:
    """Return the last problem in the first of these programs' logs that has one."""
    for program in programs:
        log = logs / f"{program}.log"
        lines = log.read_text().strip().splitlines() if log.exists() else []
        problems = [line for line in lines if "[INFO]" not in line]
        if problems:
            return problems[-1]
    return "no node logged a reason"
