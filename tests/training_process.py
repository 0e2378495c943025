"""Tiny runs of the real command, in this process or as one that can be killed."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sac_ros.sac.checkpoints.checkpoint import Progress, load_checkpoint
from sac_ros.sac.learners.algorithms import Dimensions, make_learner
from sac_ros.sac.replay.replay_protocol import make_buffer
from sim_training.training.run_folder import RunFolder

TINY = (
    *("--sac.hidden-sizes", "16", "16"),
    *("--sac.batch-size", "16"),
    *("--sac.learning-starts", "100"),
    *("--sac.buffer-capacity", "1000"),
    *("--eval-episodes", "2"),
    "--no-compiled",
)
"""Networks and counts small enough for a second of training, and no wait for a compiler."""


def start(*arguments: str, own_group: bool = False) -> subprocess.Popen[str]:
    """Start `sac-ros` as a process of its own, as a terminal does if it is to have its group."""
    program = "from sac_ros.command_line import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        process_group=0 if own_group else None,
    )


def read_checkpoint(
    folder: Path,
) -> tuple[dict[str, Tensor], NDArray[np.float32], Progress]:
    """Return all tensors of the learner, the replay rows and the progress of a run."""
    run = RunFolder(folder)
    config, task = run.read_config(), run.read_task()
    learner = make_learner(Dimensions.of(task), config.sac, seed=99)
    buffer = make_buffer(task.obs_dim, task.action_dim, config.sac, seed=99)
    progress = load_checkpoint(run.checkpoint, learner, buffer)
    chunk = buffer.chunk(buffer.first_kept, buffer.num_added)
    rows = np.asarray(chunk["rows"], dtype=np.float32)
    return dict(learner.state().tensors), rows, progress


def read_progress(folder: Path) -> list[dict[str, str]]:
    """Return the rows of progress.csv without the column that no two runs share."""
    with (folder / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["wall_s"]
    return rows


def assert_same_training(one: Path, other: Path) -> None:
    """Compare bit for bit: weights, optimisers, random states, transitions, evaluations."""
    (tensors, rows, _), (other_tensors, other_rows, _) = map(read_checkpoint, (one, other))
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert tensor.equal(other_tensors[name]), f"{name} differs"
    np.testing.assert_array_equal(rows, other_rows)
    assert read_progress(one) == read_progress(other)
