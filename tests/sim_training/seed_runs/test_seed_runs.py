"""`sac-ros train --seeds`: several ordinary runs side by side, under one command."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from training_process import TINY, assert_same_training, read_progress, start

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.seed_runs.seeds_display import SeedBars
from sim_training.training.run_folder import RunFolder

PENDULUM = ("--env", "Pendulum-v1", *TINY)
SHORT = (*PENDULUM, "--steps", "300", "--eval-every", "200")
LONG = (*PENDULUM, "--steps", "1500", "--checkpoint-every", "100000", "--eval-every", "700")


def folder_of(out: Path, seed: int) -> Path:
    return out / f"seed_{seed}"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which a command is refused."""
    assert run(["train", *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and errors.startswith("sac-ros: "), errors
    return errors


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of three finished seeds, two at a time, and what was printed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command = ("train", *SHORT, "--seeds", "3", "5", "8", "--jobs", "2", "--out", str(out))
        assert run([*command]) == 0
    return out, printed.getvalue()


def test_each_seed_is_the_run_that_it_would_be_alone(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    out, _ = finished
    alone = tmp_path / "alone"
    assert run(["train", *SHORT, "--seed", "5", "--threads", "1", "--out", str(alone)]) == 0

    assert_same_training(folder_of(out, 5), alone)
    config = RunFolder(folder_of(out, 5)).read_config()
    assert (config.seed, config.threads) == (5, 1)
    provenance = OnnxPolicy.load(folder_of(out, 5) / "policy.onnx").contract.provenance
    assert provenance.seed == 5 and provenance.steps == 300
    words = provenance.command.split()
    assert words[:2] == ["sac-ros", "train"] and "--seeds" not in words and "--jobs" not in words
    assert "--sac.hidden-sizes 16 16 --sac.batch-size 16" in provenance.command


def test_summary_is_mean_and_deviation_of_the_last_evaluations(
    finished: tuple[Path, str],
) -> None:
    out, printed = finished
    returns = [float(read_progress(folder_of(out, s))[-1]["return_mean"]) for s in (3, 5, 8)]

    expected = f"final evaluation return {np.mean(returns):.1f} ± {np.std(returns):.1f}"
    assert expected in printed and "over 3 seeds" in printed
    assert f"{returns[1]:.1f} (seed 5)" in printed


def test_each_line_says_whose_it_is(finished: tuple[Path, str]) -> None:
    _, printed = finished

    lines = printed.splitlines()
    assert all(line.startswith(("seed 3", "seed 5", "seed 8")) for line in lines[:-2]), printed
    for seed in (3, 5, 8):
        assert any(re.match(rf"seed {seed}: step 200: evaluation return", line) for line in lines)
        assert any(re.match(rf"seed {seed}: wrote .*policy.onnx", line) for line in lines)


def test_finished_seeds_are_skipped_and_new_ones_begin(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder_of(finished[0], 3), folder_of(out, 3))
    before = (folder_of(out, 3) / "policy.onnx").stat().st_mtime_ns

    command = ("train", *SHORT, "--seeds", "3", "4", "--out", str(out), "--resume")
    assert run([*command]) == 0

    assert "seed 3: already finished" in capsys.readouterr().out
    assert (folder_of(out, 3) / "policy.onnx").stat().st_mtime_ns == before
    assert [row["step"] for row in read_progress(folder_of(out, 4))] == ["200", "300"]


def test_finished_seed_can_be_given_more_steps(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder_of(finished[0], 3), folder_of(out, 3))

    command = ("train", "--seeds", "3", "--steps", "310", "--out", str(out), "--resume")
    assert run([*command]) == 0

    assert "already finished" not in capsys.readouterr().out
    assert read_progress(folder_of(out, 3))[-1]["step"] == "310"


def test_failing_seed_says_why_and_the_others_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed_1").write_text("a file where a folder should be")

    command = ("train", *SHORT, "--seeds", "1", "2", "--jobs", "1", "--out", str(tmp_path))
    assert run([*command]) == 2

    output = capsys.readouterr()
    assert f"seed 1 failed: cannot write into {tmp_path / 'seed_1'}" in output.out
    assert "over 1 seed:" in output.out
    assert output.err.count("\n") == 1 and "1 of 2 seeds failed: seed 1: cannot" in output.err
    assert (folder_of(tmp_path, 2) / "policy.onnx").exists()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds that nobody has stopped."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert run(["train", *LONG, "--seeds", "1", "2", "--out", str(out)]) == 0
    return out


def wait_for_training(process: subprocess.Popen[str], out: Path, *seeds: int) -> None:
    """Return when each seed has its first checkpoint, and a moment more."""
    for seed in seeds:
        while not RunFolder(folder_of(out, seed)).has_checkpoint:
            assert process.poll() is None
            time.sleep(0.02)
    time.sleep(0.2)


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Do what a terminal does at Ctrl-C: all processes get it."""
    os.killpg(process.pid, number)


def signal_parent(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)


@pytest.mark.long
def test_ctrl_c_saves_every_seed_and_one_line_says_how_to_go_on_exactly(
    tmp_path: Path, undisturbed: Path
) -> None:
    command = ("train", *LONG, "--seeds", "1", "2", "--jobs", "1", "--out", str(tmp_path))
    process = start(*command, own_group=True)
    wait_for_training(process, tmp_path, 1)
    signal_group(process, signal.SIGINT)
    output, errors = process.communicate(timeout=120.0)

    assert (process.returncode, errors) == (128 + signal.SIGINT, "")
    (line,) = [line for line in output.splitlines() if "stopped by" in line]
    assert "SIGINT" in line and "--seeds 1 2" in line and line.endswith("--resume")
    assert not folder_of(tmp_path, 2).exists(), "the second one waits for the first"
    assert run([*command, "--resume"]) == 0
    for seed in (1, 2):
        assert_same_training(folder_of(undisturbed, seed), folder_of(tmp_path, seed))


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(signal_group, id="to all"),
        pytest.param(signal_parent, id="to the first", marks=pytest.mark.long),
    ],
)
def test_sigterm_saves_a_seed_whoever_of_its_processes_gets_it(
    tmp_path: Path, send: Callable[[subprocess.Popen[str], signal.Signals], None]
) -> None:
    process = start("train", *LONG, "--seeds", "1", "--out", str(tmp_path), own_group=True)
    wait_for_training(process, tmp_path, 1)
    manifest = folder_of(tmp_path, 1) / "checkpoint" / "manifest.json"
    before = manifest.read_bytes()
    send(process, signal.SIGTERM)
    output, errors = process.communicate(timeout=120.0)

    assert (process.returncode, errors) == (128 + signal.SIGTERM, "")
    assert "stopped by SIGTERM, everything is saved" in output
    assert manifest.read_bytes() != before
    assert not (folder_of(tmp_path, 1) / "policy.onnx").exists(), "it had ended already"


@pytest.mark.long
def test_seeds_save_themselves_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = start("train", *LONG, "--seeds", "1", "--out", str(tmp_path), own_group=True)
    wait_for_training(process, tmp_path, 1)
    manifest = folder_of(tmp_path, 1) / "checkpoint" / "manifest.json"
    before = manifest.read_bytes()
    process.kill()
    process.communicate()

    deadline_s = time.monotonic() + 60.0
    while manifest.read_bytes() == before:
        assert time.monotonic() < deadline_s, "it was not saved"
        time.sleep(0.02)


@pytest.fixture
def begun(finished: tuple[Path, str], tmp_path: Path) -> Iterator[Path]:
    out = tmp_path / "out"
    shutil.copytree(folder_of(finished[0], 3), folder_of(out, 3))
    yield out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--seeds", "1", "2", "--seed", "3"), "both --seed 3 and --seeds 1 2"),
        (("--seeds", "1", "2", "1"), "seeds must be different"),
        (("--seeds",), "seeds"),
        (("--seeds", "one"), "one"),
        (("--seeds", "1", "-2"), "seeds must be in [0, 2^32)"),
        (("--seeds", "1", "--jobs", "0"), "jobs must be at least 1, got 0"),
        (("--seeds", "1", "--jobs", "-1"), "jobs must be at least 1, got -1"),
        (("--jobs", "2"), "jobs needs seeds"),
        (("--seeds", "1", "--threads", "0"), "threads must be at least 1"),
        (("--seeds", "1", "--sac.gamma", "2"), "gamma must be in (0, 1)"),
        (("--seeds", "1", "--task", "hopper"), "both of task and env"),
        (("--seeds", "1", "--resume"), "has no saved run of the seeds 1"),
    ],
)
def test_mistake_is_refused_in_one_line_before_any_seed_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    out = tmp_path / "out"

    assert reason in refusal(capsys, *PENDULUM, *arguments, "--out", str(out))

    assert not out.exists()


def test_folder_with_one_of_the_seeds_is_not_overwritten(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, *SHORT, "--seeds", "2", "3", "--out", str(begun))

    assert f"{folder_of(begun, 3)} already has a saved run" in message and "--resume" in message
    assert not folder_of(begun, 2).exists()


def test_seed_does_not_begin_with_other_settings_than_those_begun_before(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--env", "Pendulum-v1", "--seeds", "3", "4", "--out", str(begun), "--resume")

    message = refusal(capsys, *arguments)

    assert "seed 4 is new" in message and "sac.batch_size 256 instead of 16" in message
    assert not folder_of(begun, 4).exists()


def test_terminal_has_a_bar_for_each_seed_and_lines_above_them() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    words = "step 750000/1000000, 300 steps/s, 0:13:53 left, return 1000.0, eval 1000.0"
    with SeedBars(console, seeds=(1, 12), steps=1_000_000) as display:
        display.show(12, 750_000, words)
        display.say("seed 12: [brackets] stay")

    rows = [row for row in screen.getvalue().splitlines() if "seed" in row]
    assert any("seed 1 " in row and "0%" in row and "waits" in row for row in rows)
    assert any("seed 12" in row and "75%" in row and "step 750000/10" in row for row in rows)
    assert "seed 12: [brackets] stay" in screen.getvalue()
