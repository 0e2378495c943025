"""Real node processes for tests, and a node of the test's own that talks to them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState

from sac_ros.nodes.recorders.embedded_node import EmbeddedNode

PATIENCE_S = 60.0
"""Many times what anything waited for takes on a quiet machine; a busy one must not fail a test."""
ANSWER_TIMEOUT_S = 2.0


def hear_signals() -> None:
    """Let a child hear the signals that nohup or a background job of a shell ignores."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class NodeProcess:
    """One of our executables, started as a process; ended with the `with` block."""

    def __init__(self, program: str, *parameters: str, log: Path) -> None:
        arguments = [item for parameter in parameters for item in ("-p", parameter)]
        start = f"import sac_ros.nodes.process.executables as e; e.{program}()"
        command = [sys.executable, "-c", start, *(["--ros-args", *arguments] if arguments else [])]
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=hear_signals,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
            )

    def __enter__(self) -> "NodeProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self.stop()
        if error is not None:
            print(f"--- {self._log.name}\n{self.output}")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it has printed so far."""
        return self._log.read_text()

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Return the exit status once it ends by itself."""
        return self._process.wait(patience_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal that does not end it, such as SIGSTOP and SIGCONT."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


class Observer(EmbeddedNode):
    """A node in the test's process, spun only while the test waits for something."""

    def __init__(self) -> None:
        super().__init__("observer")

    def wait_until(
        self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Spin until the condition holds; fail with `what` if it never does."""
        deadline_s = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}"
            self.spin_once(0.02)

    def wait_for_output(
        self, process: NodeProcess, text: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Spin until a process has printed this."""
        self.wait_until(lambda: text in process.output, f"{text!r} in the log", patience_s)

    def spin_for(self, duration_s: float) -> None:
        """Spin for a while: only to see that something does not happen."""
        deadline_s = time.monotonic() + duration_s
        while time.monotonic() < deadline_s:
            self.spin_once(0.02)

    def call(self, service_type: type, name: str, request: object) -> object:
        """Call a service that may be called twice, and return its response.

        A server that has not found us yet drops its answer (rmw_fastrtps waits for us for 0.1 s).
        """
        client = self.node.create_client(service_type, name)
        try:
            self.wait_until(client.service_is_ready, f"service {name}")
            deadline_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline_s:
                future = client.call_async(request)
                retry_s = time.monotonic() + ANSWER_TIMEOUT_S
                while not future.done() and time.monotonic() < retry_s:
                    self.spin_once(0.02)
                if future.done():
                    return future.result()
            raise AssertionError(f"waited in vain for an answer of {name}")
        finally:
            self.node.destroy_client(client)

    def change_state(self, transition: int) -> bool:
        """Ask the policy node for a lifecycle transition; return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        client = self.node.create_client(ChangeState, "policy_node/change_state")
        try:
            self.wait_until(client.service_is_ready, "service policy_node/change_state")
            # Discovery is in order: a node that answers a client made later has found this one.
            self.state()
            future = client.call_async(request)
            self.wait_until(future.done, "an answer of policy_node/change_state")
            return bool(future.result().success)
        finally:
            self.node.destroy_client(client)

    def state(self) -> int:
        """Return the policy node's lifecycle state."""
        return int(
            self.call(GetState, "policy_node/get_state", GetState.Request()).current_state.id
        )

    def wait_for_state(self, wanted: int) -> None:
        """Wait until the policy node is in a lifecycle state."""
        self.wait_until(lambda: self.state() == wanted, f"state {wanted}")

    def wait_until_active(self) -> None:
        """Wait until the policy node is active."""
        self.wait_for_state(State.PRIMARY_STATE_ACTIVE)


@contextmanager
def observing() -> Iterator[Observer]:
    """Give the test an observer and take it away again."""
    observer = Observer()
    try:
        yield observer
    finally:
        observer.close()
