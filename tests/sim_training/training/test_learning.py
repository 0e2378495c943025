"""The one slow test: the whole of it learns."""

from pathlib import Path

import pytest

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sim_training.evaluation.policy_evaluation import evaluate_policy


@pytest.mark.long
def test_demo_settings_balance_the_pendulum(tmp_path: Path) -> None:
    """Twelve of twelve seeds needed 2,500 to 5,000 steps; the demo allows 12,000."""
    arguments = (
        "train",
        "--task",
        "inverted_pendulum",
        "--config",
        str(package_share() / "config" / "inverted_pendulum_demo.yaml"),
    )
    limits = ("--steps", "12000", "--eval-every", "500", "--stop-at-return", "1000")

    assert run([*arguments, *limits, "--out", str(tmp_path / "run")]) == 0

    policy = OnnxPolicy.load(tmp_path / "run" / "policy.onnx")
    assert policy.contract.provenance.steps < 12_000
    assert evaluate_policy(policy, num_episodes=10, seed=5) == [1000.0] * 10
