"""The commands of the demonstrations, without training and without ROS 2."""

import json
from pathlib import Path

import pytest

from sac_ros.errors import InputError
from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sim_training.commands import demo, finetune_demo
from sim_training.demos.robot_session import Measured

DEMO_KEYS = {
    "task", "return_in_simulation", "returns_over_ros", "control_period_s", "control_period_p99_s",
    "latency_ms", "latency_p99_ms", "lost_transitions", "wall_s",
}  # fmt: skip
FINETUNE_KEYS = {
    "task", "robot", "frozen_return", "tuned_return", "worst_return", "robot_steps",
    "missed_ticks", "lost_transitions", "num_episodes", "real_time_factor", "wall_s",
}  # fmt: skip
NO_FILM = "no film: this machine cannot draw with OpenGL"


def measured(*returns: float) -> Measured:
    """Return a measurement with these returns."""
    return Measured(
        returns=returns,
        num_lost=0,
        num_broken=0,
        period_mean_s=0.04,
        period_p99_s=0.05,
        latency_p50_ms=1.0,
        latency_p99_ms=20.0,
        num_missed_ticks=0,
    )


@pytest.fixture
def returns_over_ros(monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """Replace everything slow; what is measured over ROS is taken from this list."""
    results: list[Measured] = []
    row = EpisodeRow(
        robot_steps=6000,
        episode=1,
        policy=0,
        episode_return=3.0,
        length=4,
        ending="terminated",
        num_interventions=0,
    )
    for command in (demo, finetune_demo):
        monkeypatch.setattr(command, "require_rclpy", lambda: None)
        monkeypatch.setattr(command, "train_pendulum", lambda *given, **named: None)
        monkeypatch.setattr(command, "measure_policy", lambda *given, **named: results.pop(0))
        monkeypatch.setattr(command, "film_run", lambda *given, **named: NO_FILM)
    monkeypatch.setattr(demo.OnnxPolicy, "load", lambda path: None)
    monkeypatch.setattr(demo, "evaluate_policy", lambda *given, **named: [1000.0])
    monkeypatch.setattr(demo, "plot_training", lambda *given, **named: None)
    monkeypatch.setattr(
        finetune_demo, "learn_on_robot", lambda *given, **named: ([row], measured(3.0))
    )
    return results


def test_demo_writes_its_summary_and_passes_without_opengl(
    tmp_path: Path, returns_over_ros: list[Measured], capsys: pytest.CaptureFixture[str]
) -> None:
    returns_over_ros.append(measured(1000.0, 950.0))

    assert demo.main(["--out", str(tmp_path / "demo")]) == 0

    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary.keys() >= DEMO_KEYS
    assert summary["returns_over_ros"] == [1000.0, 950.0]
    assert NO_FILM in capsys.readouterr().out


def test_demo_fails_if_one_episode_is_below_the_solved_return(
    tmp_path: Path, returns_over_ros: list[Measured], capsys: pytest.CaptureFixture[str]
) -> None:
    returns_over_ros.append(measured(1000.0, 949.0))

    assert demo.main(["--out", str(tmp_path / "demo")]) == 1

    assert "not solved over ROS" in capsys.readouterr().out


@pytest.mark.parametrize(("tuned", "status"), [(4.0, 0), (3.0, 1)])
def test_finetune_demo_passes_if_the_robot_does_better(
    tmp_path: Path, returns_over_ros: list[Measured], tuned: float, status: int
) -> None:
    returns_over_ros += [measured(3.0), measured(tuned)]

    assert finetune_demo.main(["--out", str(tmp_path / "demo")]) == status

    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary.keys() >= FINETUNE_KEYS
    assert (summary["frozen_return"], summary["tuned_return"]) == (3.0, tuned)


def test_second_demo_in_the_same_folder_is_refused_and_deletes_nothing(
    tmp_path: Path, returns_over_ros: list[Measured]
) -> None:
    kept = tmp_path / "training" / "policy.onnx"
    kept.parent.mkdir()
    kept.touch()

    with demo.demo_folder(tmp_path, ()), pytest.raises(InputError, match="another process"):
        demo.main(["--out", str(tmp_path)])

    assert kept.exists()
