"""The film of a demonstration, or the reason why this machine cannot make one."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TIME_LIMIT_S = 120.0
"""Drawn by the processor, a film takes seconds; a driver that hangs takes forever."""


def film_run(task: str, recordings: Mapping[str, Path], path: Path, *, duration_s: float) -> str:
    """Film recorded joint positions side by side, by title; return a line for the screen.

    A film is no result: without OpenGL the line says so, and nothing is raised.
    """
    path.unlink(missing_ok=True)
    arguments = [f"{title}={recording}" for title, recording in recordings.items()]
    try:
        process = subprocess.run(
            [
                *(sys.executable, "-m", "sim_training.demos.joint_film", "--task", task),
                *("--out", str(path), "--seconds", str(duration_s), *arguments),
            ],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return f"no film: drawing it took more than {TIME_LIMIT_S:.0f} s"
    if process.returncode == 0:
        return f"film: {path} ({path.stat().st_size / 1e6:.1f} MB)"
    path.unlink(missing_ok=True)
    lines = process.stderr.strip().splitlines()
    reason = lines[-1] if lines else f"the renderer ended with status {process.returncode}"
    return f"no film: {reason}"
