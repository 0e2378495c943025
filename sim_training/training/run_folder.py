"""The folder of one training run: the paths of its files, and a lock for the writing process."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sac_ros.task.strict_yaml import read_yaml, to_mapping
from sac_ros.task.task_spec import TaskSpec
from sim_training.training.training_config import TrainingConfig


class RunFolderError(InputError):
    """The folder cannot be used: it has another run, is in use, or has no run to resume."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; TensorBoard's event files are in the same folder."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return self.path / "checkpoint"

    @property
    def progress_csv(self) -> Path:
        """Table with one row per evaluation."""
        return self.path / "progress.csv"

    @property
    def policy(self) -> Path:
        """The exported policy of the last step, written at the end."""
        return self.path / "policy.onnx"

    @property
    def best_policy(self) -> Path:
        """The exported policy of the best evaluation so far."""
        return self.path / "best_policy.onnx"

    @property
    def config(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def task(self) -> Path:
        """A copy of the task as it was when training began."""
        return self.path / "task.yaml"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume or to export."""
        return (self.checkpoint / "manifest.json").exists()

    def read_config(self) -> TrainingConfig:
        """Return the settings the run was started with."""
        return read_yaml(self.config, TrainingConfig)

    def read_task(self) -> TaskSpec:
        """Return the task the run trains."""
        return read_yaml(self.task, TaskSpec)

    def require_checkpoint(self) -> None:
        """Raise RunFolderError unless there is a checkpoint."""
        if not self.has_checkpoint:
            raise RunFolderError(
                f"{self.path} has no saved run: {self.checkpoint / 'manifest.json'} does not exist;"
                f" check the path, or start a run with sac-ros train --out {self.path}"
            )

    def refuse_other_run(self) -> None:
        """Raise RunFolderError if a new run here would overwrite a saved run."""
        if self.has_checkpoint:
            raise RunFolderError(
                f"{self.path} already has a saved run; resume it with --resume, or choose another"
                " --out"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and lock it against other training processes."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(
                f"cannot write into {self.path} ({error.strerror}); choose another --out"
            ) from error
        # The kernel releases the lock when the process ends, also after kill -9.
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunFolderError(
                    f"another process is training in {self.path}; stop it, or choose another --out"
                ) from error
            yield

    def write_settings(self, config: TrainingConfig, task: TaskSpec) -> None:
        """Write the files that `read_config` and `read_task` read."""
        for path, value in ((self.config, config), (self.task, task)):
            replace_text(path, yaml.safe_dump(to_mapping(value), sort_keys=False))
