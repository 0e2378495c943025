"""Appends transitions for ever and says after each how many are safe; made to be killed."""

import sys
from pathlib import Path

import numpy as np

from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.task.transition import Transition

LOG = {"obs_dim": 3, "action_dim": 2, "task_fingerprint": "robot", "capacity": 10**9}


def numbered(number: int) -> Transition:
    """Return a transition that tells its number in every part."""
    return Transition(
        episode=number // 10,
        step=number % 10,
        obs=np.full(3, number, dtype=np.float32),
        action=np.array([number * 1e-9, 0.5]),
        reward=float(number),
        next_obs=np.full(3, number + 1, dtype=np.float32),
        terminated=False,
        truncated=number % 10 == 9,
        policy=number // 7,
    )


if __name__ == "__main__":
    log = TransitionLog(Path(sys.argv[1]), records_per_segment=500, **LOG)
    for _ in log.open():
        pass
    while True:
        log.append(numbered(log.num_added))
        sys.stdout.write(f"{log.num_added}\n")
        sys.stdout.flush()
