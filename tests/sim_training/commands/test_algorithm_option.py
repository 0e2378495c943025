"""`sac-ros train --algorithm`: each SAC trains, goes on exactly, and is exported."""

from pathlib import Path

import pytest
import yaml
from training_process import TINY, assert_same_training

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.config.algorithm_config import AlgorithmName
from sac_ros.task.package_share import package_share
from sim_training.evaluation.policy_evaluation import evaluate_policy

ENVIRONMENTS: dict[AlgorithmName, tuple[str, ...]] = {
    "sac_v1": ("--env", "Pendulum-v1"),
    "sac_discrete": ("--task", "inverted_pendulum_three_forces"),
}


@pytest.mark.parametrize("algorithm", ENVIRONMENTS)
def test_algorithm_trains_goes_on_exactly_and_is_exported(
    tmp_path: Path, algorithm: AlgorithmName
) -> None:
    command = ("train", *ENVIRONMENTS[algorithm], "--algorithm", algorithm, *TINY)
    command = (*command, "--eval-every", "250")
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    assert run([*command, "--steps", "400", "--out", str(whole)]) == 0
    assert run([*command, "--steps", "250", "--out", str(parts)]) == 0
    (parts / "policy.onnx").unlink()
    assert run(["train", "--out", str(parts), "--resume", "--steps", "400"]) == 0

    assert_same_training(whole, parts)
    policy = OnnxPolicy.load(parts / "policy.onnx")
    assert policy.contract.provenance.algorithm == algorithm
    assert len(evaluate_policy(policy, num_episodes=2, seed=0)) == 2
    assert run(["export", str(parts), "--out", str(tmp_path / "again.onnx")]) == 0


def test_options_and_files_are_those_of_the_algorithm(tmp_path: Path) -> None:
    shipped = str(package_share() / "config" / "sac_v1.yaml")
    out = tmp_path / "run"
    command = ("train", "--env", "Pendulum-v1", "--algorithm", "sac_v1", "--config", shipped)

    changes = (*TINY, "--sac.reward-scale", "2", "--steps", "20")
    assert run([*command, *changes, "--out", str(out)]) == 0

    stored = yaml.safe_load((out / "config.yaml").read_text())
    assert stored["algorithm"] == "sac_v1"
    assert stored["sac"]["reward_scale"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--algorithm", "sac_v2"), "sac_v1"),
        (("--algorithm",), "--algorithm"),
        (("--sac.reward-scale", "2"), "--sac.reward-scale"),
        (("--algorithm", "sac_v1", "--sac.target-entropy", "-1"), "--sac.target-entropy"),
        (("--algorithm", "sac_v1", "--config", "config/sac.yaml"), "alpha_learning_rate"),
        (("--algorithm", "sac_discrete"), "choices"),
        (("--algorithm", "sac_discrete", "--sac.encoder", "cnn"), "nature_cnn"),
    ],
)
def test_option_of_another_algorithm_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    command = ["train", "--env", "Pendulum-v1", "--out", str(tmp_path / "run"), *arguments]

    assert run(command) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors


def test_resume_with_another_algorithm_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "run"))
    assert run(["train", "--env", "Pendulum-v1", *TINY, "--steps", "20", *out]) == 0
    capsys.readouterr()

    assert run(["train", "--algorithm", "sac_v1", "--resume", *out]) == 2

    assert "uses sac, not sac_v1" in capsys.readouterr().err
