"""The learner behind each policy version, on disk: what a rollback goes back to, after any kill."""

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from sac_ros.sac.checkpoints.checkpoint import Progress, load_learner, save_checkpoint
from sac_ros.sac.checkpoints.checkpoint_manifest import MANIFEST, CheckpointError
from sac_ros.sac.learners.learner import LearnerState, SACLearner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer


def save_learner(folder: Path, learner: SACLearner, values: Mapping[str, object]) -> None:
    """Save a learner without replay rows; raise CheckpointError (not finite, or full disk)."""
    names = non_finite_parts(learner.state())
    if names:
        raise CheckpointError(
            f"the learner is not saved in {folder}: {', '.join(names)} not finite"
        )
    no_rows = ReplayBuffer(1, learner.obs_dim, learner.action_dim, seed=0)
    save_checkpoint(folder, learner, no_rows, Progress(values=values, arrays={}))


def non_finite_parts(state: LearnerState) -> list[str]:
    """Return which parts of a learner hold NaN or infinity; weights, targets, moments alike."""
    return [name for name, tensor in state.tensors.items() if not _is_finite(name, tensor)]


def _is_finite(name: str, tensor: Tensor) -> bool:
    if name == "log_alpha":  # minus infinity is a temperature of 0, without entropy
        return math.isfinite(tensor.exp().item())
    return bool(tensor.isfinite().all())


class LearnerStates:
    """A folder with one checkpoint for each policy version, without replay rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, version: int, learner: SACLearner) -> None:
        """Keep the learner that a version is made of; raise CheckpointError."""
        save_learner(self._path(version), learner, {"version": version})

    def load(self, version: int) -> LearnerState:
        """Return the learner of a version; raise CheckpointError unless it is there and sound."""
        state = load_learner(self._path(version)).state
        names = non_finite_parts(state)
        if names:
            raise CheckpointError(f"{self._path(version)} holds {', '.join(names)} not finite")
        return state

    def has(self, version: int) -> bool:
        """Tell whether a version's learner is there."""
        return (self._path(version) / MANIFEST).exists()

    def remove_all_but(self, versions: Iterable[int]) -> None:
        """Remove the learners of all other versions, also those that a kill left unlisted."""
        kept = {self._path(version) for version in versions}
        for path in self._folder.glob("[0-9]*"):
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def _path(self, version: int) -> Path:
        return self._folder / f"{version:08d}"
