"""A video of the policy for the page, or the reason why there is none."""

import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 24 * 1024 * 1024
"""A page larger than this opens slowly, and mail servers refuse it."""
TIME_LIMIT_S = 900.0
"""Software rendering may take minutes for a thousand frames; a hanging driver never ends."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """Either a film or a reason; never both."""

    data_uri: str | None = None
    missing_because: str | None = None


def film_policy(policy: Path, seed: int, folder: Path) -> Film:
    """Film the first evaluation episode of a policy, with a file in `folder` on the way.

    In a process of its own: MuJoCo chooses its renderer once a process, and an OpenGL driver that
    crashes must not take the report with it.
    """
    path = folder / "film.mp4"
    program = "from sac_ros.command_line import main; main()"
    options = ("--episodes", "1", "--seed", str(seed), "--json", "--video", str(path))
    try:
        process = subprocess.run(
            [sys.executable, "-c", program, "evaluate", str(policy), *options],
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        return Film(missing_because=f"filming one episode took more than {TIME_LIMIT_S:.0f} s")
    if process.returncode != 0:
        lines = process.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"the process ended with status {process.returncode}"
        return Film(missing_because=reason.removeprefix("sac-ros: "))
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        return Film(
            missing_because=f"the film of an episode is {len(content) / 2**20:.0f} MiB, too large"
            " for a page; make it with: sac-ros evaluate POLICY --episodes 1 --video film.mp4"
        )
    return Film(data_uri="data:video/mp4;base64," + base64.b64encode(content).decode())
