"""Whether a robot lives in the time that the node lives in: real, or a simulation's."""

import time
from typing import Final

from rclpy.node import Node

CLOCK_TOPIC = "/clock"
"""Where rclpy's simulated time comes from, and nowhere else."""
FOREIGN_S = 60.0
"""Stamps farther than this from our own clock are of another one."""


class ControlTime:
    """Knows which time the node follows, and recognises stamps of the other.

    A node without use_sim_time would control a simulation in real time: at the wrong rate if that
    is slower or faster, and until it first stumbles if it is neither.
    """

    def __init__(self, node: Node) -> None:
        self._node: Final = node

    @property
    def is_simulated(self) -> bool:
        """Whether the node follows /clock."""
        return bool(self._node.get_parameter("use_sim_time").value)

    def refusal(self, stamp_s: float) -> str | None:
        """Return why a stamp in s is not of the node's time, or None. Asks ROS: not for every tick.

        A driver may count from zero, too, so it takes a /clock that somebody publishes.
        """
        if self.is_simulated or abs(time.time() - stamp_s) <= FOREIGN_S:
            return None
        if self._node.count_publishers(CLOCK_TOPIC) == 0:
            return None
        return (
            "stamped with a simulation's time, as there is a /clock, but this node lives in real"
            " time; give it use_sim_time:=true, or the simulation publish_clock:=false"
        )
