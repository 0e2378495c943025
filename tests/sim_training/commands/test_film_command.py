"""`sac-ros film`: policies side by side, or one line that says why not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from source_tree import ROOT

from sac_ros.command_line import run

POLICY = str(ROOT / "tests" / "trained_policies" / "plain_1.onnx")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((POLICY,), "--out"),
        (("--out", "a.gif"), "at least one policy"),
        ((POLICY, "--out", "a.avi"), "ends in .mp4, .gif, .webp"),
        ((POLICY, "--out", "a.gif", "--seconds", "0"), "seconds must be above 0"),
        ((POLICY, "--out", "a.gif", "--size", "63"), "size must be even"),
        (("nowhere.onnx", "--out", "a.gif"), "nowhere.onnx"),
    ],
)
def test_mistake_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert run(["film", *arguments]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors, errors


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_film_holds_a_panel_for_each_policy(tmp_path: Path, suffix: str) -> None:
    """Machines that test this package may have no OpenGL at all; either end must be clean."""
    out = tmp_path / f"film{suffix}"
    program = "from sac_ros.command_line import main; main()"
    options = ("--out", str(out), "--seconds", "0.4", "--size", "64")
    process = subprocess.run(
        [sys.executable, "-c", program, "film", POLICY, POLICY, *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MUJOCO_GL": "egl"},
    )

    if process.returncode != 0:
        assert process.returncode == 2 and process.stderr.count("\n") == 1, process.stderr
        assert "MUJOCO_GL" in process.stderr and not out.exists()
        return
    with Image.open(out) as film:
        assert film.size == (128, 64)
        assert film.n_frames == 10  # 25 a second
