"""A headless Chromium under test, spoken to through two pipes by its own DevTools protocol."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START = """
import fcntl, os, sys
# The browser reads commands from its descriptor 3 and answers on 4; ours may have any number.
commands, answers = (fcntl.fcntl(int(text), fcntl.F_DUPFD, 10) for text in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """Return the program to start, or None if this machine has none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Page:
    """One open page."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self.requests: list[str] = []
        """Every address that the browser was asked to load."""
        self.complaints: list[str] = []
        """Errors and refused resources, as the browser's console shows them."""
        self._commands = commands
        self._answers = answers
        self._number = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    _session: str | None = None

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send one command and return its result; events on the way are noted."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Load a file and wait until all that belongs to it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:  # noqa: ANN401 - whatever the script returns
        """Return the value of a JavaScript expression, once any promise has been kept."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _read(self) -> dict[str, Any]:
        message = b""
        while not message.endswith(b"\0"):
            byte = self._answers.read(1)
            assert byte, "the browser has gone"
            message += byte
        event: dict[str, Any] = json.loads(message[:-1])
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        return event


@contextmanager
def open_browser(program: str) -> Iterator[Page]:
    """Start a browser with a profile of its own, and end it with the block."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", _START, str(commands_out), str(answers_in), program),
                *("--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
                # Tests run as root in containers, where Chromium's sandbox cannot be set up.
                *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            ],
            pass_fds=(commands_out, answers_in),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_out)
        os.close(answers_in)
        try:
            with (
                open(commands_in, "wb", buffering=0) as commands,
                open(answers_out, "rb") as answers,
            ):
                yield Page(commands, answers)
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
