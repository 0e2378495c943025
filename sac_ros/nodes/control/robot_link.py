"""Where an episode cycle's decisions go."""

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.transition import Transition

PATIENCE_S: Final = 1.0
"""How long an episode may wait for something before the operator is told for what: they shall know
within 2 s."""


class RobotLink(Protocol):
    """Where decisions go."""

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Send a command [A] in the task's unit."""
        ...

    def publish_transition(self, transition: Transition) -> None:
        """Send one step of experience."""
        ...

    def request_reset(self, number: int) -> str | None:
        """Ask for the robot to be brought to a start pose; return what it has to wait for.

        The answer goes to `EpisodeCycle.finish_reset`, with the number.
        """
        ...

    def can_reset(self) -> bool:
        """Say whether whoever resets the robot is there."""
        ...

    def stop(self, reason: str) -> None:
        """Leave the active state, which sends the safe command."""
        ...

    def fault(self, reason: str) -> None:
        """Stop until somebody has looked at it: what failed is ours, and would fail again."""
        ...

    def info(self, text: str) -> None:
        """Tell the operator."""
        ...

    def warn(self, text: str) -> None:
        """Tell the operator, at most once every few seconds."""
        ...
