"""What people did with a robot: on disk beside its transitions, and in memory to learn from.

The folder is a TransitionLog like the robot's own, so what was demonstrated before the policy ever
ran may be put there too.

Shapes: n transitions, W numbers in a packed one.
"""

from pathlib import Path

from sac_ros.policy.contract import PolicyContract
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.sac.replay.transition_rows import add_rows, add_transition
from sac_ros.task.transition import Transition, columns

CAPACITY = 100_000
"""Steps of a person that are kept, the newest ones: more than an hour of them at 25 Hz."""


class Demonstrations:
    """Steps that a person commanded, and the executed actions in them."""

    def __init__(self, folder: Path, contract: PolicyContract, seed: int) -> None:
        """Read what is there; raise TransitionLogError."""
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
        """Keep one step for good; raise TransitionLogError, and learn from it all the same."""
        add_transition(self.buffer, transition)
        self.log.append(transition)
