"""The commands of the page "Get started" work as they stand there, one after the other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

PAGE = ROOT / "docs" / "get_started" / "index.md"


def console_commands() -> list[str]:
    """Return the lines of the page's console blocks, without their prompts."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    commands = [command for block in blocks for command in block.split("\n$ ")]
    return [command.removeprefix("$ ").strip() for command in commands]


def test_the_page_has_its_commands_in_console_blocks() -> None:
    commands = console_commands()
    assert [command.split()[:2] for command in commands[:3]] == [
        ["sac-ros", "train"],
        ["sac-ros", "evaluate"],
        ["sac-ros", "report"],
    ]
    # A line is a command of its own, or goes on where a backslash ends the last one.
    assert all("\n" not in command.replace("\\\n", "") for command in commands)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_commands_of_the_page_work_in_order(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    (tmp_path / "config").symlink_to(ROOT / "config")
    script = "\n".join(["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"])
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }

    subprocess.run(
        ["bash", "-c", "\n".join([script, *console_commands()])],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=1190,
    )

    assert (tmp_path / "runs" / "first" / "report" / "index.html").is_file()
    recording = json.loads((tmp_path / "runs" / "first" / "episodes.json").read_text())
    assert len(recording["returns_over_ros"]) == 2
    assert recording["lost_transitions"] == 0
