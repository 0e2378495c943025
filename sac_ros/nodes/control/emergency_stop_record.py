"""An emergency stop that outlives its process, as a file in ROS's own home. Knows no ROS."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from sac_ros.atomic_write import replace_text


def ros_home() -> Path:
    """Return the folder that ROS keeps its files in: $ROS_HOME, or ~/.ros."""
    return Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()


class EmergencyStopRecord:
    """The file of one node, by its name with namespace; there while the stop is set.

    It is written by a thread of its own: a slow disk must not keep a robot waiting.
    """

    def __init__(self, node_name: str, on_error: Callable[[str], None]) -> None:
        """`on_error` may be called from the writing thread."""
        name = node_name.strip("/").replace("/", ".")
        self.path = ros_home() / "sac_ros" / "emergency_stops" / f"{name}.txt"
        self._on_error = on_error
        # One thread, so that set and reset reach the disk in their order.
        self._writer = ThreadPoolExecutor(max_workers=1)

    def read(self) -> str | None:
        """Return the reason that was kept; None where there is no stop.

        A file that cannot be read counts as a stop.
        """
        try:
            return self.path.read_text().strip() or "no reason was kept"
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            return f"{self.path} cannot be read: {error}"

    def keep(self, reason: str) -> None:
        """Write the reason."""
        self._writer.submit(partial(self._try, self._write, reason))

    def forget(self) -> None:
        """Remove the file."""
        self._writer.submit(partial(self._try, self._remove, ""))

    def wait(self) -> None:
        """Return once everything has been written."""
        self._writer.submit(int).result()

    def _write(self, reason: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self.path, f"{' '.join(reason.split())}\n")

    def _remove(self, reason: str) -> None:
        self.path.unlink(missing_ok=True)

    def _try(self, change: Callable[[str], None], reason: str) -> None:
        try:
            change(reason)
        except OSError as error:
            self._on_error(f"the emergency stop could not be kept in {self.path}: {error}")
