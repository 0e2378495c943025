"""episodes.csv: one row for each episode that the learner heard whole."""

import csv
from dataclasses import dataclass
from pathlib import Path

from sac_ros.atomic_write import append_or_undo
from sac_ros.task.episode_counter import Episode

HEADER = "robot_steps,episode,policy,return,length,ending,interventions\n"


@dataclass(frozen=True, kw_only=True)
class EpisodeRow:
    """One row."""

    robot_steps: int
    """Of this robot, up to the end of the episode."""
    episode: int
    policy: int
    """Version that acted in the last step."""
    episode_return: float
    """Undiscounted, exploration included."""
    length: int
    """Steps."""
    ending: str
    """`terminated`, `truncated` or `aborted`."""
    num_interventions: int
    """Steps that a person commanded."""

    @classmethod
    def of(cls, episode: Episode, robot_steps: int) -> "EpisodeRow":
        """Return the row of an episode that ended after so many steps of the robot."""
        return cls(
            robot_steps=robot_steps,
            episode=episode.episode,
            policy=episode.policy,
            episode_return=episode.episode_return,
            length=episode.length,
            ending=episode.ending,
            num_interventions=episode.num_interventions,
        )

    @property
    def is_the_policys_own(self) -> bool:
        """Whether no person had a hand in it, so that its return tells about the policy."""
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


def append_episode(path: Path, row: EpisodeRow) -> None:
    """Append a row to the file; raise OSError, and leave it as it was."""
    line = (
        f"{row.robot_steps},{row.episode},{row.policy},{row.episode_return!r},{row.length},"
        f"{row.ending},{row.num_interventions}\n"
    )
    with path.open("ab", buffering=0) as file:
        is_new = file.tell() == 0
        append_or_undo(file, ((HEADER if is_new else "") + line).encode())
