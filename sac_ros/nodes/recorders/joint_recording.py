"""Record joint positions over ROS, for a film of the robot's motion."""

import csv
from pathlib import Path
from typing import Protocol

from sac_ros.nodes.messages.message_stamp import stamp_s


class JointMessage(Protocol):
    """The fields of sensor_msgs/JointState that are recorded."""

    name: list[str]
    position: list[float]


class JointRecording:
    """Collects JointState messages; one row of the CSV file each: `stamp_s`, then the joints.

    Positions are in rad or m; the columns are the joints of the first message, in its order.
    """

    def __init__(self) -> None:
        self._joints: list[str] = []
        self._rows: list[list[float]] = []

    def add(self, message: JointMessage, arrival_s: float) -> None:
        """Collect one message; a message without all joints of the first one is left out."""
        positions = dict(zip(message.name, message.position, strict=False))
        if not self._joints:
            self._joints = list(positions)
        if positions.keys() >= set(self._joints):
            row = [stamp_s(message, arrival_s), *(positions[joint] for joint in self._joints)]
            self._rows.append(row)

    def write(self, path: Path) -> None:
        """Write all rows."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["stamp_s", *self._joints])
            writer.writerows(self._rows)
