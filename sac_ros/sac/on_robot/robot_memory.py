"""Every transition of one robot: in memory to learn from, on disk for good, with remarks on it.

Shapes: n transitions, W numbers in a packed one, O obs_dim.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import PolicyContract
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.sac.on_robot.episodes_file import EpisodeRow, append_episode
from sac_ros.sac.replay.demonstrations import Demonstrations
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import Mark, TransitionLog
from sac_ros.sac.replay.transition_rows import add_rows
from sac_ros.task.episode_counter import EpisodeCounter
from sac_ros.task.transition import Transition, columns


class RobotMemory:
    """The transition log, the replay buffer made of it, demonstrations and episodes.csv."""

    def __init__(
        self, folder: Path, contract: PolicyContract, buffer_capacity: int, seed: int
    ) -> None:
        """Read what earlier sessions left; raise TransitionLogError."""
        task = contract.task
        self.counter = EpisodeCounter()
        self.last_episode: EpisodeRow | None = None
        """The last one that was heard whole."""
        self.newest_version = 0
        """Highest version that acted in a transition."""
        self.obs_low = np.array(contract.obs_low, dtype=np.float32)
        self.obs_high = np.array(contract.obs_high, dtype=np.float32)
        self._folder = folder
        self._columns = columns(task.obs_dim, task.action_dim)
        self._first_of_version: dict[int, int] = {}
        self._bad: PolicyStatus | None = None
        self._episode, self._episode_first = (0, -1), 0
        self.log = TransitionLog(
            folder / "transitions",
            obs_dim=task.obs_dim,
            action_dim=task.action_dim,
            task_fingerprint=contract.task_fingerprint,
            capacity=buffer_capacity,
        )
        self.buffer = ReplayBuffer(buffer_capacity, task.obs_dim, task.action_dim, seed)
        self.buffer.reserve_memory()
        for first, rows in self.log.open():
            self._take_over(first, rows)
        self.demonstrations = Demonstrations(folder / "demonstrations", contract, seed + 2)

    def keep(self, transition: Transition, robot_steps: int) -> EpisodeRow | None:
        """Keep a transition for good; return the episode that it ends, if that was heard whole.

        Raises TransitionLogError (full disk), or OSError where the episode's row cannot be written.
        """
        number = self.log.num_added
        self._first_of_version.setdefault(transition.policy, number)
        if self._bad is not None and not _was_rejected(transition.policy, self._bad):
            self.mark_rejected()
        np.minimum(self.obs_low, transition.obs, out=self.obs_low)
        np.maximum(self.obs_high, transition.obs, out=self.obs_high)
        ended = self.counter.add(transition)
        self.log.append(transition)
        episode = (transition.session, transition.episode)
        if episode != self._episode or transition.step == 0:
            self._episode, self._episode_first = episode, number
        if transition.intervention:
            self.demonstrations.add(transition)
        if transition.aborted:
            reason = f"a person cut episode {transition.episode} short"
            self.log.mark(
                Mark(first=self._episode_first, last=number, kind="aborted", reason=reason)
            )
        if ended is None:
            return None
        self.last_episode = EpisodeRow.of(ended, robot_steps)
        append_episode(self._folder / "episodes.csv", self.last_episode)
        return self.last_episode

    def expect_rejected(self, status: PolicyStatus) -> None:
        """Mark the transitions of the rejected policies once the last of them has come.

        Transitions and status are two topics: some of them may still be on their way.
        """
        self._bad = status

    def mark_rejected(self) -> None:
        """Mark what the rejected policies did up to now; raise TransitionLogError."""
        status, self._bad = self._bad, None
        if status is None:
            return
        firsts = [
            first
            for version, first in self._first_of_version.items()
            if _was_rejected(version, status)
        ]
        if firsts:
            last = self.log.num_added - 1
            self.log.mark(Mark(first=min(firsts), last=last, kind="bad", reason=status.reason))

    def sync(self) -> None:
        """Bring all transitions to the disk; raise TransitionLogError."""
        self.log.sync()
        self.demonstrations.log.sync()

    def close(self) -> None:
        """Let another process have the folder."""
        self.log.close()
        self.demonstrations.log.close()

    def _take_over(self, first: int, rows: NDArray[np.float64]) -> None:
        """Put transitions [n, W] of earlier sessions into memory."""
        add_rows(self.buffer, rows, self._columns)
        versions, indices = np.unique(rows[:, self._columns["policy"]], return_index=True)
        for version, index in zip(versions.astype(int).tolist(), indices.tolist(), strict=True):
            self._first_of_version.setdefault(version, first + index)
        self.newest_version = max(self.newest_version, int(versions.max(initial=0.0)))
        obs = rows[:, self._columns["obs"]].astype(np.float32)
        np.minimum(self.obs_low, obs.min(axis=0), out=self.obs_low)
        np.maximum(self.obs_high, obs.max(axis=0), out=self.obs_high)


def _was_rejected(version: int, status: PolicyStatus) -> bool:
    """Tell whether a version ran in the window that was given up."""
    bad = status.bad_versions
    return bool(bad) and min(bad) <= version <= max(bad)
