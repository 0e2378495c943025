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
    """Return the commands of the page's console blocks, without their prompts."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a console block holds commands only"
    return [line.removeprefix("$ ") for line in lines]


@pytest.mark.long
@pytest.mark.timeout(600)
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
        timeout=590,
    )

    assert (tmp_path / "runs" / "first" / "report" / "index.html").is_file()
    recording = json.loads((tmp_path / "runs" / "first" / "episodes.json").read_text())
    assert len(recording["returns_over_ros"]) == 2
    assert recording["lost_transitions"] == 0
