"""Killed at any moment and resumed, a run computes what it would have computed undisturbed."""

import functools
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_process import TINY, assert_same_training, read_progress, start

from sac_ros.command_line import run

SETTINGS = (
    *TINY,
    *("--steps", "1500"),
    *("--checkpoint-every", "90"),
    *("--eval-every", "250"),
    *("--sac.utd-ratio", "0.7"),
)
PENDULUM = ("--env", "Pendulum-v1")
# So that a failure can be repeated as far as moments can be.
MOMENTS = random.Random(3)


def wait_for_another_checkpoint(process: subprocess.Popen[str], folder: Path) -> None:
    """Return as soon as the process has saved, or has ended."""
    manifest = folder / "checkpoint" / "manifest.json"
    before = manifest.stat().st_mtime_ns if manifest.exists() else 0
    while process.poll() is None:
        if manifest.exists() and manifest.stat().st_mtime_ns != before:
            return
        time.sleep(0.005)


def resume_flag(folder: Path) -> tuple[str, ...]:
    return ("--resume",) if (folder / "checkpoint" / "manifest.json").exists() else ()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """Return the folder of the run in an environment that nobody has stopped."""

    @functools.cache
    def train(environment: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("undisturbed") / "run"
        assert run(["train", *environment, *SETTINGS, "--out", str(folder)]) == 0
        return folder

    return train


@pytest.mark.long
@pytest.mark.parametrize(
    ("environment", "num_kills"),
    [(PENDULUM, 3), (("--task", "inverted_pendulum", "--num-envs", "3"), 2)],
    ids=["one environment", "three environments"],
)
def test_run_killed_at_random_moments_ends_bit_for_bit_as_undisturbed(
    tmp_path: Path,
    undisturbed: Callable[[tuple[str, ...]], Path],
    environment: tuple[str, ...],
    num_kills: int,
) -> None:
    killed = tmp_path / "killed"
    command = ("train", *environment, *SETTINGS, "--out")

    for _ in range(num_kills):
        process = start(*command, str(killed), *resume_flag(killed))
        wait_for_another_checkpoint(process, killed)
        # Between two checkpoints, or in the middle of writing one.
        time.sleep(MOMENTS.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
    # In a process of its own too, or two event files of the same second could change their order.
    process = start(*command, str(killed), *resume_flag(killed))
    _, errors = process.communicate()
    assert process.returncode == 0, errors

    assert_same_training(undisturbed(environment), killed)
    curve = EventAccumulator(str(killed)).Reload().Scalars("eval/return_mean")
    assert [str(event.step) for event in curve] == [row["step"] for row in read_progress(killed)]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "kill"]
)
def test_stop_signal_saves_and_says_how_to_go_on(
    tmp_path: Path,
    undisturbed: Callable[[tuple[str, ...]], Path],
    number: signal.Signals,
    status: int,
) -> None:
    stopped = tmp_path / "stopped"
    command = ("train", *PENDULUM, *SETTINGS, "--checkpoint-every", "100000", "--out")
    process = start(*command, str(stopped))
    # The first checkpoint is that of step 0; the next one is the signal's.
    wait_for_another_checkpoint(process, stopped)
    time.sleep(0.5)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60.0)

    assert process.returncode == status, errors
    last_line = output.splitlines()[-1]
    assert number.name in last_line and "--resume" in last_line and str(stopped) in last_line
    assert run([*command, str(stopped), "--resume"]) == 0
    assert_same_training(undisturbed(PENDULUM), stopped)
