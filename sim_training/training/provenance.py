"""The provenance of a policy: command, git commit and package versions, for its contract."""

import importlib.metadata
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from sac_ros.policy.contract import Provenance

PACKAGES = ("sac_ros", "torch", "numpy", "gymnasium", "mujoco", "onnx", "onnxruntime")
"""Packages whose version can change the result of a run or an export."""


def make_provenance(
    *,
    algorithm: str,
    seed: int | None,
    steps: int,
    commands: Sequence[str],
    evaluation_return: float | None,
    training_run_s: float | None,
) -> Provenance:
    """Return the provenance of a run; `commands` started and resumed it."""
    return Provenance(
        algorithm=algorithm,
        seed=seed,
        steps=steps,
        command=" && ".join(commands),
        git_commit=git_commit(Path(__file__)),
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        packages=package_versions(),
        evaluation_return=evaluation_return,
        training_run_s=training_run_s,
    )


def command_line(subcommand: str, argv: Sequence[str]) -> str:
    """Return the command line, quoted for a shell."""
    return shlex.join(["sac-ros", subcommand, *argv])


def resume_command(command: str) -> str:
    """Return the command that resumes the run that `command` started."""
    words = shlex.split(command)
    return command if "--resume" in words else shlex.join([*words, "--resume"])


def package_versions() -> dict[str, str]:
    """Return the installed version of each package in PACKAGES."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def git_commit(source: Path) -> str:
    """Return the git commit of `source`, with -dirty if the tree differs, or `unknown`."""
    folder = str(source.parent)
    # Only if git tracks this file: an installed package may be inside another repository.
    git = ["git", "--no-optional-locks", "-C", folder]
    tracked = [*git, "ls-files", "--error-unmatch", source.name]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        subprocess.run(tracked, capture_output=True, check=True, timeout=10.0)
        answer = subprocess.run(describe, capture_output=True, check=True, text=True, timeout=10.0)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
