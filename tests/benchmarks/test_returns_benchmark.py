"""benchmarks.learning.returns: one row a run, whatever interrupts it."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from source_tree import ROOT
from training_process import TINY, start

from benchmarks.learning.returns import main

PENDULUM = ("--env", "Pendulum-v1", "--episodes", "2")
SETTINGS = ("--", *TINY, "--eval-every", "100")


def command_line(folder: Path, *arguments: str) -> list[str]:
    """Put the folders before what goes to `sac-ros train`."""
    places = ["--runs", str(folder / "runs"), "--out", str(folder / "results")]
    return ["returns.py", *places, *arguments]


def bench(folder: Path, *arguments: str) -> int:
    """Run the benchmark in this process; return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command_line(folder, *arguments))
        return main()


def rows(folder: Path, name: str = "returns.csv") -> list[dict[str, str]]:
    with (folder / "results" / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of 200 steps."""
    folder = tmp_path_factory.mktemp("finished")
    assert bench(folder, *PENDULUM, "--seeds", "2", "1", "--steps", "200", *SETTINGS) == 0
    return folder


def test_each_run_is_a_row_that_says_how_it_was_made(finished: Path) -> None:
    first, second = rows(finished)

    assert (first["seed"], second["seed"]) == ("1", "2")
    for row in (first, second):
        assert row["name"] == "Pendulum-v1_sac" and row["algorithm"] == "sac"
        assert (row["status"], row["steps"], row["episodes"]) == ("complete", "200", "2")
        assert -2000.0 < float(row["return_mean"]) < 0.0 < float(row["train_wall_s"])
        # One episode of 200 steps ends in the last fifth of them.
        assert -2000.0 < float(row["training_mean"]) < 0.0 == float(row["training_std"])
        assert row["command"].startswith("sac-ros train --env Pendulum-v1")
        assert f"--seed {row['seed']} " in row["command"] and "cores" in row["machine"]
        assert "torch" in row["machine"] and row["commit"]
    assert first["return_mean"] != second["return_mean"]


def test_curves_hold_every_evaluation_of_every_seed(finished: Path) -> None:
    points = rows(finished, "returns/Pendulum-v1_sac.csv")

    assert [(p["seed"], p["step"]) for p in points] == [
        ("1", "100"), ("1", "200"), ("2", "100"), ("2", "200"),
    ]  # fmt: skip
    figure = finished / "results" / "returns" / "Pendulum-v1_sac.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_finished_runs_are_not_trained_again(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(row["train_wall_s"], row["return_mean"]) for row in rows(finished)]

    seeds = ("--seeds", "1", "2", "--steps", "200")
    assert bench(finished, *PENDULUM, *seeds, *SETTINGS) == 0

    assert capsys.readouterr().out.count("has its 200 steps") == 2
    assert [(row["train_wall_s"], row["return_mean"]) for row in rows(finished)] == before


def test_stopped_run_is_a_partial_row_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    long = (*PENDULUM, "--seeds", "3", "--steps", "100000", *SETTINGS)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.learning.returns"),
            *command_line(tmp_path, *long)[1:],
        ],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    progress = tmp_path / "runs" / "Pendulum-v1_sac" / "seed_3" / "progress.csv"
    while not (progress.exists() and progress.read_text().count("\n") > 1):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)

    assert process.wait() == 128 + signal.SIGTERM
    (row,) = rows(tmp_path)
    stopped_at = int(row["steps"])
    assert row["status"] == "partial" and 100 <= stopped_at < 100_000

    steps = str(stopped_at + 50)
    assert bench(tmp_path, *PENDULUM, "--seeds", "3", "--steps", steps, *SETTINGS) == 0

    (row,) = rows(tmp_path)
    assert (row["status"], row["steps"]) == ("complete", steps)
    assert row["command"].count("sac-ros train") == 2 and "--resume" in row["command"]


def test_run_stopped_before_its_first_evaluation_is_a_row_without_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "Pendulum-v1_sac" / "seed_3"
    train = ("train", "--env", "Pendulum-v1", "--seed", "3", "--out", str(folder), *TINY)
    process = start(*train, "--eval-every", "100000")
    while not (folder / "progress.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert bench(tmp_path, *PENDULUM, "--seeds", "3", "--no-train") == 0

    assert rows(tmp_path)[0]["status"] == "partial"
    assert "no curves yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "exactly one of --task"),
        (("--task", "hopper", "--env", "Pendulum-v1"), "exactly one of --task"),
        (("--env", "Pendulum-v1", "--seeds", "1", "1"), "seeds must be different"),
        (("--env", "Pendulum-v1", "--steps", "0"), "steps must be at least 1"),
        (("--env", "Pendulum-v1", "--no-train"), "has no saved run"),
        (("--env", "Pendulm-v1"), "Pendulm"),
        (("--env", "Pendulum-v1", "--algorithm", "ppo"), "--algorithm"),
    ],
)  # fmt: skip
def test_mistake_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    assert bench(tmp_path, *arguments) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors, errors
