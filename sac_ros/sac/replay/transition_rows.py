"""Add transitions to a replay buffer, single or as packed rows from a transition log.

Shapes: n transitions, W numbers in a packed one.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.task.transition import Transition


def add_transition(buffer: ReplayBuffer, transition: Transition) -> None:
    """Add one step; raise NonFiniteTransitionError."""
    buffer.add(
        transition.obs[None],
        transition.action[None],
        [transition.reward],
        transition.next_obs[None],
        [transition.terminated],
        [transition.truncated],
    )


def add_rows(buffer: ReplayBuffer, rows: NDArray[np.float64], columns: Mapping[str, slice]) -> None:
    """Add packed rows [n, W]; `columns` gives the slice of each part."""
    # In pieces, because one `add` must not exceed the capacity.
    for offset in range(0, len(rows), buffer.capacity):
        part = rows[offset : offset + buffer.capacity]
        buffer.add(
            **{name: part[:, columns[name]] for name in ("obs", "action", "next_obs")},
            **{
                name: part[:, columns[name]].ravel()
                for name in ("reward", "terminated", "truncated")
            },
        )
