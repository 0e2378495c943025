"""`sac-ros evaluate` and `sac-ros export`, on a small run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from source_tree import ROOT
from training_process import TINY, read_checkpoint

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.checkpoints.checkpoint import load_actor
from sim_training.environments.env import make_env
from sim_training.evaluation.policy_evaluation import evaluate_policy
from sim_training.evaluation.rollout import evaluation_seeds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on inverted_pendulum."""
    folder = tmp_path_factory.mktemp("runs") / "pendulum"
    arguments = ("train", "--task", "inverted_pendulum", *TINY, "--steps", "150")
    assert run([*arguments, "--out", str(folder)]) == 0
    return folder


def evaluate_json(
    capsys: pytest.CaptureFixture[str], policy: Path, *arguments: str
) -> dict[str, object]:
    """Return the one JSON object that the command prints."""
    assert run(["evaluate", str(policy), "--json", *arguments]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_json_is_one_object_with_the_statistics_of_its_returns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = evaluate_json(capsys, folder / "policy.onnx", "--episodes", "7")

    returns = np.array(summary["returns"])
    assert len(returns) == 7
    assert summary["return_mean"] == pytest.approx(returns.mean(), rel=1e-12)
    assert summary["return_std"] == pytest.approx(returns.std(), rel=1e-12)
    assert summary["success_rate"] == 0.0  # it has learned for 50 steps; 950 are a success


def test_returns_are_those_of_the_policys_mode_in_the_environment(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = evaluate_json(capsys, folder / "policy.onnx", "--episodes", "2", "--seed", "4")

    policy = OnnxPolicy.load(folder / "policy.onnx")
    env = make_env(policy.task)
    returns = []
    for seed in evaluation_seeds(4, 0, 2):
        obs, _ = env.reset(seed=seed)
        rewards, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(policy.mode(obs).astype(np.float32))
            rewards += float(reward)
            ended = terminated or truncated
        returns.append(rewards)
    assert summary["returns"] == returns
    assert evaluate_policy(policy, num_episodes=2, seed=4) == returns


def test_same_seed_gives_the_same_returns_and_another_does_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = folder / "policy.onnx"
    for flags in ((), ("--sampled",)):
        first = evaluate_json(capsys, policy, "--seed", "2", *flags)["returns"]
        assert evaluate_json(capsys, policy, "--seed", "2", *flags)["returns"] == first
        assert evaluate_json(capsys, policy, "--seed", "3", *flags)["returns"] != first


def test_sampled_actions_differ_from_the_mode(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = folder / "policy.onnx"
    assert (
        evaluate_json(capsys, policy, "--sampled")["returns"]
        != evaluate_json(capsys, policy)["returns"]
    )


def test_without_json_a_table_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(folder / "policy.onnx"), "--episodes", "1"]) == 0

    table = capsys.readouterr().out
    assert "return_mean" in table and "success_rate" in table and "inverted_pendulum" in table


def test_evaluation_needs_no_torch(folder: Path) -> None:
    program = (
        "import sys\n"
        "from sac_ros.command_line import run\n"
        f"status = run(['evaluate', {str(folder / 'policy.onnx')!r}, '--json'])\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else status)"
    )
    root = ROOT
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root
    )

    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["returns"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere.onnx",), "nowhere.onnx"),
        ((), "PATH"),
        (("{policy}", "--episodes", "0"), "episodes must be at least 1"),
        (("{policy}", "--seed", "-1"), "seed must be at least 0"),
        (("{policy}", "--episode", "1"), "--episode"),
        (("{policy}", "--video", "film.avi"), "ends in .mp4, .gif, .webp"),
        (("{policy}", "--video-seconds", "0"), "video_seconds must be above 0"),
        (("{config}",), "config.yaml"),
    ],
)
def test_mistake_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    paths = {"policy": str(folder / "policy.onnx"), "config": str(folder / "config.yaml")}

    assert run(["evaluate", *(word.format(**paths) for word in arguments)]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors


def evaluate_with_video(
    policy: Path, video: Path, renderer: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: MuJoCo chooses its renderer once."""
    program = "from sac_ros.command_line import main; main()"
    arguments = ["evaluate", str(policy), "--json", "--episodes", "2", "--video", str(video)]
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "MUJOCO_GL": renderer},
        cwd=ROOT,
    )


def test_video_is_made_or_the_reason_is_said(folder: Path, tmp_path: Path) -> None:
    """Machines that test this package may have no OpenGL at all; either end must be clean."""
    video = tmp_path / "film.mp4"
    process = evaluate_with_video(folder / "policy.onnx", video, "egl")

    if process.returncode == 0:
        assert len(json.loads(process.stdout)["returns"]) == 2
        assert video.read_bytes()[4:8] == b"ftyp"
    else:
        assert process.returncode == 2 and process.stderr.count("\n") == 1, process.stderr
        assert "MUJOCO_GL" in process.stderr and not video.exists()


def test_impossible_renderer_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    process = evaluate_with_video(folder / "policy.onnx", tmp_path / "film.mp4", "nonsense")

    assert process.returncode == 2
    assert process.stderr.count("\n") == 1 and "MUJOCO_GL" in process.stderr, process.stderr


def test_export_from_the_checkpoint_is_the_policy_of_the_run(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.onnx"

    assert run(["export", str(folder), "--out", str(path)]) == 0

    again, policy = OnnxPolicy.load(path), OnnxPolicy.load(folder / "policy.onnx")
    assert again.contract.golden == policy.contract.golden
    assert again.contract.obs_low == policy.contract.obs_low
    assert again.contract.provenance.steps == 150
    assert again.contract.provenance.command == policy.contract.provenance.command


def test_exported_policy_is_the_actor_of_the_checkpoint(folder: Path) -> None:
    policy = OnnxPolicy.load(folder / "policy.onnx")
    actor = load_actor(folder / "checkpoint").actor
    obs = read_checkpoint(folder)[1][:, :4]

    with torch.no_grad():
        mean, log_std = actor(torch.from_numpy(obs))
    exported = [policy.distribution(row) for row in obs]
    np.testing.assert_allclose([mean for mean, _ in exported], mean.numpy(), atol=1e-5)
    np.testing.assert_allclose([log_std for _, log_std in exported], log_std.numpy(), atol=1e-5)


def test_export_before_the_first_step_is_possible(tmp_path: Path) -> None:
    """A killed run may have no more than its first checkpoint; it can still be exported."""
    from sim_training.training.run_folder import RunFolder
    from sim_training.training.training_config import TrainingConfig, resolve_task
    from sim_training.training.training_run import TrainingRun

    config = TrainingConfig(env="Pendulum-v1")
    run_folder = RunFolder(tmp_path)
    TrainingRun(config, resolve_task(config), run_folder).begin("sac-ros train")

    assert run(["export", str(tmp_path)]) == 0
    assert OnnxPolicy.load(run_folder.policy).contract.provenance.steps == 0


@pytest.mark.parametrize("out", ["nowhere/policy.onnx", "run/policy.onnx"])
def test_export_of_nothing_or_to_nowhere_is_refused_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    source = folder if out.startswith("nowhere") else tmp_path / "none"

    assert run(["export", str(source), "--out", str(tmp_path / out)]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and str(tmp_path) in errors
