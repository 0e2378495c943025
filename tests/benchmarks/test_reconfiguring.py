"""A node that is configured again and again, failing at every point, leaves nothing behind."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

from source_tree import ROOT

pytestmark = pytest.mark.ros


def test_failures_at_every_point_leave_nothing_behind() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.faults.reconfiguring"),
            *("--policy", "policies/half_cheetah.onnx", "--cycles", "28"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["points of failure"] >= 12
    assert report["failed as planned"] >= report["points of failure"]
    assert report["num_problems"] == report["doubled subscriptions"] == 0
