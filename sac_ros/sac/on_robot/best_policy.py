"""Which of the policies that ran on a robot earned most, kept for whoever wants that one.

What goes on learning does not only become better: a hopper that leaps as far as it can today may
fall tomorrow, and the newest policies are all that `policies/` keeps.
"""

import json
import math
from collections import deque
from pathlib import Path
from typing import Final

from sac_ros.atomic_write import replace_file
from sac_ros.sac.on_robot.episode_returns import EpisodeRow

WINDOW: Final = 3
"""Episodes in a row whose median is compared: one alone is often luck."""


class BestPolicy:
    """Keeps a copy of the policy behind the highest median return of three episodes in a row.

    The copy is of the policy that ran in the episode of that median. The policy that came, version
    0, is a rival too, but never copied: whoever started the robot with it has it.
    """

    def __init__(self, folder: Path, policies: Path) -> None:
        """Go on from what `folder` keeps; `policies` holds VERSION.onnx of the newest ones."""
        self.policy_file: Final = folder / "best_policy.onnx"
        self.median_return: float | None = None
        """Of its three episodes, exploration included; None while nothing is kept."""
        self.version: int | None = None
        self._policies = policies
        self._record = folder / "best_policy.json"
        self._recent: deque[EpisodeRow] = deque(maxlen=WINDOW)
        self._bar = -math.inf
        self._read()

    def add(self, episode: EpisodeRow) -> None:
        """Count a whole episode in which nobody intervened; raise OSError."""
        self._recent.append(episode)
        if len(self._recent) < WINDOW:
            return
        middle = sorted(self._recent, key=lambda row: row.episode_return)[WINDOW // 2]
        if not middle.episode_return > self._bar:
            return
        self._bar = middle.episode_return
        source = self._policies / f"{middle.policy:08d}.onnx"
        # Version 0 has no file here, and one of long ago may have lost its own.
        if source.exists():
            self._keep(source, middle)

    def _keep(self, source: Path, episode: EpisodeRow) -> None:
        replace_file(self.policy_file, source.read_bytes())
        record = {
            "version": episode.policy,
            "median_return": episode.episode_return,
            "robot_steps": episode.robot_steps,
        }
        replace_file(self._record, f"{json.dumps(record)}\n".encode())
        self.version, self.median_return = episode.policy, episode.episode_return

    def _read(self) -> None:
        """Take over what an earlier process kept; what cannot be read is found anew."""
        try:
            record = json.loads(self._record.read_text())
            version, median_return = int(record["version"]), float(record["median_return"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if self.policy_file.exists() and math.isfinite(median_return):
            self.version, self.median_return = version, median_return
            self._bar = median_return
