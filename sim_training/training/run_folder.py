"""The folder of one training run: where each file lies, and that one process at a time writes."""

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
    """The folder cannot take the run: it is occupied, in use, or holds none to resume."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; TensorBoard's event files lie beside them."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return self.path / "checkpoint"

    @property
    def progress_csv(self) -> Path:
        """One row an evaluation."""
        return self.path / "progress.csv"

    @property
    def policy(self) -> Path:
        """The exported policy, written at the end."""
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
        """The task as it was when training began, whatever becomes of its file."""
        return self.path / "task.yaml"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume or to export."""
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
                f"{self.path} holds no run that was saved: {self.checkpoint / 'manifest.json'} is"
                f" not there; check the path, or begin one by sac-ros train --out {self.path}"
            )

    def refuse_other_run(self) -> None:
        """Raise RunFolderError if a new run here would overwrite one that has been saved."""
        if self.has_checkpoint:
            raise RunFolderError(
                f"{self.path} already holds a run; go on with it by --resume, or choose another"
                " --out"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep every other training process out of it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(
                f"cannot write into {self.path} ({error.strerror}); choose another --out"
            ) from error
        # The kernel lets go of the lock when its process dies, however it dies.
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunFolderError(
                    f"another process is training in {self.path}; stop it, or choose another --out"
                ) from error
            yield

    def write_settings(self, config: TrainingConfig, task: TaskSpec) -> None:
        """Write what `read_config` and `read_task` return."""
        for path, value in ((self.config, config), (self.task, task)):
            replace_text(path, yaml.safe_dump(to_mapping(value), sort_keys=False))
