"""What a robot's episodes came to, seen from their transitions, losses included."""

import csv
from dataclasses import dataclass
from pathlib import Path

from sac_ros.atomic_write import append_or_undo
from sac_ros.task.transition import Transition

HEADER = "robot_steps,episode,policy,return,length,ending,interventions\n"


@dataclass(frozen=True, kw_only=True)
class EpisodeRow:
    """An episode that was heard whole: one row of episodes.csv."""

    robot_steps: int
    """Of this robot, up to its end."""
    episode: int
    policy: int
    """Version that ran when it ended."""
    episode_return: float
    """Undiscounted, exploration included."""
    length: int
    ending: str
    """`terminated`, `truncated` or `aborted`."""
    num_interventions: int
    """Steps that a person commanded."""

    @property
    def is_the_policys_own(self) -> bool:
        """Whether its return says something about the policy, as no person had a hand in it."""
        return self.num_interventions == 0 and self.ending != "aborted"


def read_episodes(path: Path) -> list[EpisodeRow]:
    """Return the episodes written so far."""
    if not path.exists():
        return []
    with path.open() as file:
        return [
            EpisodeRow(
                robot_steps=int(row["robot_steps"]),
                episode=int(row["episode"]),
                policy=int(row["policy"]),
                episode_return=float(row["return"]),
                length=int(row["length"]),
                ending=row["ending"],
                num_interventions=int(row["interventions"]),
            )
            for row in csv.DictReader(file)
            if row["interventions"] is not None  # else it is being written
        ]


class EpisodeReturns:
    """Counts returns and gaps."""

    def __init__(self, path: Path, robot_steps: int) -> None:
        """Go on with the file, if it is there."""
        self.num_lost = 0
        """Transitions whose number was missed: sent, and never received."""
        self.num_out_of_order = 0
        """Transitions that came after a later one of their episode, or twice."""
        self.last: EpisodeRow | None = None
        """The last episode that was heard whole."""
        self._path = path
        self._robot_steps = robot_steps
        self._key: tuple[int, int] | None = None
        self._return, self._num_interventions, self._is_whole = 0.0, 0, False

    def add(self, transition: Transition) -> EpisodeRow | None:
        """Count one transition; return the episode that it ends, if it was heard whole."""
        self._robot_steps += 1
        episode, step = self._key or (-1, -1)
        if transition.episode != episode:
            self._return, self._num_interventions = 0.0, 0
            self._is_whole = transition.step == 0
            if self._key is not None:  # else we joined late, and lost nothing
                self.num_lost += transition.step
        elif transition.step <= step:
            self.num_out_of_order += 1
            self._is_whole = False
        elif transition.step != step + 1:
            self.num_lost += transition.step - step - 1
            self._is_whole = False
        self._key = (transition.episode, transition.step)
        self._return += transition.reward
        self._num_interventions += int(transition.intervention)
        if not (transition.terminated or transition.truncated) or not self._is_whole:
            return None
        ending = "terminated" if transition.terminated else "truncated"
        self.last = EpisodeRow(
            robot_steps=self._robot_steps,
            episode=transition.episode,
            policy=transition.policy,
            episode_return=self._return,
            length=transition.step + 1,
            ending="aborted" if transition.aborted else ending,
            num_interventions=self._num_interventions,
        )
        return self.last

    def write(self, row: EpisodeRow) -> None:
        """Append a row to the file; raise OSError, and leave it as it was."""
        line = (
            f"{row.robot_steps},{row.episode},{row.policy},{row.episode_return!r},{row.length},"
            f"{row.ending},{row.num_interventions}\n"
        )
        with self._path.open("ab", buffering=0) as file:
            is_new = file.tell() == 0
            append_or_undo(file, ((HEADER if is_new else "") + line).encode())
