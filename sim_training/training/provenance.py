"""Where a policy comes from: command, commit and versions, for the contract in its file."""

import importlib.metadata
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from sac_ros.policy.contract import Provenance

PACKAGES = ("sac_ros", "torch", "numpy", "gymnasium", "mujoco", "onnx", "onnxruntime")
"""Those whose version can change what a run computes or exports."""


def make_provenance(
    *,
    algorithm: str,
    seed: int | None,
    steps: int,
    commands: Sequence[str],
    evaluation_return: float | None,
    training_run_s: float | None,
) -> Provenance:
    """Describe the run that this process has trained; `commands` are its own and those resumed."""
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
    """Return the command as it can be typed again."""
    return shlex.join(["sac-ros", subcommand, *argv])


def resume_command(command: str) -> str:
    """Return the command that goes on with what `command` began or resumed."""
    words = shlex.split(command)
    return command if "--resume" in words else shlex.join([*words, "--resume"])


def package_versions() -> dict[str, str]:
    """Return the version of each installed package that matters."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def git_commit(source: Path) -> str:
    """Return the commit that `source` belongs to, with -dirty if the tree differs; or `unknown`."""
    folder = str(source.parent)
    # Only if git knows this very file: an installed package may lie inside somebody else's tree.
    git = ["git", "--no-optional-locks", "-C", folder]
    tracked = [*git, "ls-files", "--error-unmatch", source.name]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        subprocess.run(tracked, capture_output=True, check=True, timeout=10.0)
        answer = subprocess.run(describe, capture_output=True, check=True, text=True, timeout=10.0)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
