"""Training of the demonstrations' policy: inverted_pendulum, from scratch, within a minute."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType

from sac_ros.task.package_share import package_share
from sim_training.robot.perturbation import NOMINAL, Perturbation
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.progress_display import make_display
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_loop import train_one

TASK = "inverted_pendulum"
MAX_STEPS = 12_000
CONFIG = "inverted_pendulum_demo.yaml"


@contextmanager
def demo_folder(out: Path, results: Sequence[str]) -> Iterator[None]:
    """Keep a folder for one demonstration at a time; remove the `results` of an earlier one."""
    with RunFolder(out).locked():
        for name in results:
            shutil.rmtree(out / name, ignore_errors=True)
        yield


def train_pendulum(folder: RunFolder, *, seed: int, robot: Perturbation = NOMINAL) -> None:
    """Train until, twice in a row, each of ten episodes on `robot` reaches the maximum return."""
    changes = [
        word
        for field in fields(robot)
        if getattr(robot, field.name) != field.default
        for word in (f"--perturbation.{field.name}", str(getattr(robot, field.name)))
    ]
    train_one(
        [
            *("--task", TASK, "--config", str(package_share() / "config" / CONFIG)),
            *("--steps", str(MAX_STEPS), "--eval-every", "500", "--stop-at-return", "1000"),
            *("--seed", str(seed), "--out", str(folder.path)),
            # Networks this small are trained before a compiler is done, and fill no second core.
            *("--no-compiled", "--threads", "1"),
            *changes,
        ],
        _InterruptAtOnce(),
        make_display,
    )


class _InterruptAtOnce(StopRequest):
    """Leaves Ctrl-C as it is: a demonstration is run again, not resumed."""

    def __enter__(self) -> StopRequest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to restore."""
