"""Demonstrations: the steps that a person commanded, on disk and in a replay buffer.

The folder is a TransitionLog like the robot's own, so demonstrations recorded before the policy
first ran can be put there too.

Shapes: n transitions, W numbers in a packed one.
"""

from pathlib import Path

from sac_ros.policy.contract import PolicyContract
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.sac.replay.transition_rows import add_rows, add_transition
from sac_ros.task.transition import Transition, columns

CAPACITY = 100_000
"""Newest demonstrated steps that are kept: more than an hour at 25 Hz."""


class Demonstrations:
    """Steps commanded by a person, with the actions that were executed."""

    def __init__(self, folder: Path, contract: PolicyContract, seed: int) -> None:
        """Load the demonstrations in the folder; raise TransitionLogError."""
        task = contract.task
        self.log = TransitionLog(
            folder,
            obs_dim=task.obs_dim,
            action_dim=task.action_dim,
            task_fingerprint=contract.task_fingerprint,
            capacity=CAPACITY,
        )
        self.buffer = ReplayBuffer(CAPACITY, task.obs_dim, task.action_dim, seed)
        places = columns(task.obs_dim, task.action_dim)
        for _, rows in self.log.open():
            add_rows(self.buffer, rows, places)

    def add(self, transition: Transition) -> None:
        """Add one step to the buffer and the log.

        Raises TransitionLogError if it cannot be logged; the buffer has it nevertheless.
        """
        add_transition(self.buffer, transition)
        self.log.append(transition)
