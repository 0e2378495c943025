"""When a robot is asked to reset, and which of its answers counts.

A robot that is asked twice resets twice, the second time while the policy commands it already. So
a reset may take as long as it takes, and another one is asked for only where this one failed.
"""

import math
from typing import Final

from sac_ros.nodes.control.robot_link import PATIENCE_S, RobotLink

RETRY_S: Final = 2.0
"""After a refusal."""


class ResetRequests:
    """One reset after another, each asked for until it has been done."""

    def __init__(self, link: RobotLink, timeout_s: float) -> None:
        """`timeout_s`: after so long without an answer, a request counts as lost."""
        self._link = link
        self._timeout_s = timeout_s
        self._number = 0
        """Of the request whose answer counts."""
        self._is_asked = False
        self._wanted_since_s = math.inf
        self._ask_s = math.inf
        """When to ask, again or for the first time."""
        self._hindrance: str | None = None
        self._has_said_that_it_is_asked = False

    @property
    def waits_for(self) -> str:
        """Say in words what the reset waits for."""
        if self._is_asked:
            return "the robot to be reset"
        return self._hindrance or "its turn to ask for a reset"

    def begin(self, now_s: float) -> None:
        """Want a reset from now on."""
        self._wanted_since_s = self._ask_s = now_s
        self._forget()

    def see_to(self, now_s: float) -> None:
        """Ask, or ask again, where it is time to."""
        if self._is_asked and not self._link.can_reset():
            self._link.warn("the robot's reset service has gone without an answer; asking again")
            self.begin(now_s)
        if now_s < self._ask_s:
            self._say_that_it_is_asked(now_s)
            return
        if self._is_asked:
            self._link.warn(f"no answer to the reset for {self._timeout_s} s; asking again")
            self.begin(now_s)
        self._hindrance = self._link.request_reset(self._number)
        if self._hindrance is None:
            self._is_asked = True
            self._ask_s = now_s + self._timeout_s
        elif now_s - self._wanted_since_s > PATIENCE_S:
            self._link.warn(f"the reset waits for {self._hindrance}")

    def take_answer(self, number: int, refusal: str | None, now_s: float) -> bool:
        """Take the answer to a request; return whether the robot has been reset."""
        if number != self._number:
            return False
        self._forget()
        if refusal is not None:
            self._link.warn(f"the robot refused to reset: {refusal}; asking again")
            self._ask_s = now_s + RETRY_S
        return refusal is None

    def _say_that_it_is_asked(self, now_s: float) -> None:
        """Tell the operator, once, of a reset that takes its time."""
        is_long = now_s - self._wanted_since_s > PATIENCE_S
        if self._is_asked and is_long and not self._has_said_that_it_is_asked:
            self._has_said_that_it_is_asked = True
            self._link.info("waiting for the robot to be reset")

    def _forget(self) -> None:
        """Let no answer count to what has been asked so far."""
        self._number += 1
        self._is_asked = self._has_said_that_it_is_asked = False
