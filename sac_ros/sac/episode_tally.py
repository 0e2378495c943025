"""What a robot's episodes came to, seen from their transitions, losses included."""

from pathlib import Path

from sac_ros.task.transition import Transition

HEADER = "robot_steps,episode,policy,return,length,ending,interventions\n"


class EpisodeTally:
    """Counts returns and gaps, and writes one row an episode."""

    def __init__(self, path: Path, robot_steps: int) -> None:
        """Go on with the file, if it is there."""
        self.num_lost = 0
        """Transitions whose number was missed: sent, and never received."""
        self.num_out_of_order = 0
        """Transitions that came after a later one of their episode, or twice."""
        self.last_return: float | None = None
        """Of the last episode that was heard whole."""
        self.num_whole = 0
        self._robot_steps = robot_steps
        self._key: tuple[int, int] | None = None
        self._return, self._num_interventions, self._is_whole = 0.0, 0, False
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        self._file = path.open("a", buffering=1)  # a row at a time, so that others can follow
        if is_new:
            self._file.write(HEADER)

    def add(self, transition: Transition) -> None:
        """Count one transition."""
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
        if transition.terminated or transition.truncated:
            self._end(transition)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _end(self, transition: Transition) -> None:
        if not self._is_whole:
            return
        self.num_whole += 1
        self.last_return = self._return
        ending = "terminated" if transition.terminated else "truncated"
        if transition.aborted:
            ending = "aborted"
        self._file.write(
            f"{self._robot_steps},{transition.episode},{transition.policy},{self._return!r},"
            f"{transition.step + 1},{ending},{self._num_interventions}\n"
        )
