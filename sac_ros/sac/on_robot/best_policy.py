"""Keep a copy of the policy that had the best return on the robot.

Returns may fall again while learning goes on, and `policies/` keeps only the newest files.
"""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Final

from sac_ros.atomic_write import replace_file
from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sac_ros.sac.on_robot.ledger_records import Best, RecentReturn
from sac_ros.sac.on_robot.policy_ledger import PolicyLedger

WINDOW: Final = 3
"""Episodes in a row whose median is compared: one alone is often luck."""


class BestPolicy:
    """Keeps a copy of the policy behind the highest median return of three episodes in a row.

    The copy is of the policy that ran in the episode of that median. The policy that came, version
    0, is compared too, but never copied: its file was given to the nodes.
    """

    def __init__(self, folder: Path, policies: Path, ledger: PolicyLedger | None = None) -> None:
        """Go on from the ledger, by default `folder`'s; `policies` holds VERSION.onnx files."""
        self.policy_file: Final = folder / "best_policy.onnx"
        self._summary = folder / "best_policy.json"
        self._policies = policies
        self._ledger = PolicyLedger(folder) if ledger is None else ledger
        if self._ledger.content.best.bar is None:
            self._adopt_earlier_summary()
        if self.version is not None and not self._has_copy():
            self._copy_again()

    @property
    def median_return(self) -> float | None:
        """Of its three episodes, exploration included; None while nothing is kept."""
        return self._ledger.content.best.median_return

    @property
    def version(self) -> int | None:
        """Of the copy; None while nothing is kept."""
        return self._ledger.content.best.version

    def add(self, episode: EpisodeRow) -> None:
        """Count a whole episode without intervention; raise OSError or RobotFolderError."""
        best = self._ledger.content.best
        newest = RecentReturn(
            version=episode.policy,
            episode_return=episode.episode_return,
            robot_steps=episode.robot_steps,
        )
        window = (*best.recent, newest)[-WINDOW:]
        best = replace(best, recent=window)
        source: Path | None = None
        if len(window) == WINDOW:
            middle = sorted(window, key=lambda row: row.episode_return)[WINDOW // 2]
            if best.bar is None or middle.episode_return > best.bar:
                source = self._file_of(middle.version)
                best = self._raised(best, middle, source)
        # First the ledger, then the copy: after a kill in between it is copied again.
        self._ledger.note_return(episode.policy, episode.episode_return, best)
        if source is not None:
            self._copy(source)

    def _raised(self, best: Best, middle: RecentReturn, source: Path | None) -> Best:
        best = replace(best, bar=middle.episode_return)
        if source is None:
            return best
        return replace(
            best,
            version=middle.version,
            median_return=middle.episode_return,
            sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        )

    def _file_of(self, version: int) -> Path | None:
        """Return a version's file; version 0 has none here, an old one may have lost its own."""
        path = self._policies / f"{version:08d}.onnx"
        return path if path.exists() else None

    def _copy(self, source: Path) -> None:
        replace_file(self.policy_file, source.read_bytes())
        summary = {"version": self.version, "median_return": self.median_return}
        replace_file(self._summary, f"{json.dumps(summary)}\n".encode())

    def _has_copy(self) -> bool:
        try:
            digest = hashlib.sha256(self.policy_file.read_bytes()).hexdigest()
        except OSError:
            return False
        return digest == self._ledger.content.best.sha256

    def _adopt_earlier_summary(self) -> None:
        """Take over what a release without a ledger kept, where that can be read."""
        try:
            summary = json.loads(self._summary.read_text())
            version, bar = int(summary["version"]), float(summary["median_return"])
            digest = hashlib.sha256(self.policy_file.read_bytes()).hexdigest()
        except (OSError, ValueError, KeyError, TypeError):
            return
        if math.isfinite(bar):
            best = Best(bar=bar, version=version, median_return=bar, sha256=digest)
            self._ledger.update(best=best)

    def _copy_again(self) -> None:
        """Make the copy that a kill prevented, if the version's file is still there."""
        source = self._file_of(self.version or 0)
        if source is not None:
            self._copy(source)
