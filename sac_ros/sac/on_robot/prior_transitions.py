"""Load the prior transitions, which are mixed into the batches beside the robot's own."""

from pathlib import Path

import numpy as np

from sac_ros.errors import InputError
from sac_ros.policy.contract import PolicyContract
from sac_ros.sac.checkpoints.checkpoint import load_transitions
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.sac.replay.transition_rows import add_rows
from sac_ros.task.transition import columns


class PriorTransitionsError(InputError):
    """The folder given has no transitions."""


def load_prior(
    checkpoint: Path | None, folder: Path | None, contract: PolicyContract, seed: int
) -> ReplayBuffer | None:
    """Return the transitions in `folder`, or else those of the checkpoint, or None.

    A folder is what `sac-ros bag-to-buffer` writes, or another robot's `transitions`. Raises
    PriorTransitionsError, or TransitionLogError if they are of another task.
    """
    if folder is None:
        return None if checkpoint is None else load_transitions(checkpoint, seed)
    if not any(folder.glob("segment-*.log")):
        raise PriorTransitionsError(
            f"no transitions in {folder}; give a folder that sac-ros bag-to-buffer has written"
        )
    task = contract.task
    log = TransitionLog(
        folder,
        obs_dim=task.obs_dim,
        action_dim=task.action_dim,
        task_fingerprint=contract.task_fingerprint,
        capacity=2**62,
    )
    try:
        parts = [rows for _, rows in log.open()]
    finally:
        log.close()
    num_rows = sum(map(len, parts))
    buffer = ReplayBuffer(max(1, num_rows), task.obs_dim, task.action_dim, seed)
    places = columns(task.obs_dim, task.action_dim)
    for rows in parts:
        add_rows(buffer, np.asarray(rows), places)
    return buffer
