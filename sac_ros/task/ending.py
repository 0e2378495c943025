"""How a person, or a program that watches the robot, ends an episode."""

from enum import Enum


class Ending(Enum):
    """What was called, and what it makes of the step during which it was called."""

    SUCCESS = "success"
    """The task is done: terminated, with the reward of success."""
    ABORT = "abort"
    """Cut short, whatever the reason: truncated, so that nothing is learned of an end."""
