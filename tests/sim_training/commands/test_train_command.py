"""What `sac-ros train` leaves behind, and that the loop does what its settings say."""

import csv
from pathlib import Path

import numpy as np
import pytest
import recognisable_env
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_process import (
    TINY,
    assert_same_training,
    read_checkpoint,
    read_progress,
    start,
)

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.training.run_folder import RunFolder

RECOGNISABLE = ("--env", "recognisable_env:Recognisable-v0")


def train(folder: Path, *arguments: str) -> Path:
    assert run(["train", *TINY, "--out", str(folder), *arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of Pendulum-v1: 600 steps, evaluations every 250."""
    folder = tmp_path_factory.mktemp("runs") / "pendulum"
    return train(
        folder,
        *("--env", "Pendulum-v1", "--steps", "600", "--eval-every", "250", "--seed", "7"),
        *("--log-every", "200"),
    )


def test_progress_csv_has_one_row_an_evaluation_and_one_at_the_end(pendulum: Path) -> None:
    with (pendulum / "progress.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))

    expected = ["step", "wall_s", "return_mean", "return_std", "episode_length_mean"]
    assert header[:5] == expected
    assert [row[0] for row in rows] == ["250", "500", "600"]
    assert all(float(row[2]) < 0.0 and float(row[4]) == 200.0 for row in rows)
    wall_s = [float(row[1]) for row in rows]
    assert wall_s == sorted(wall_s)


def test_tensorboard_has_every_curve(pendulum: Path) -> None:
    events = EventAccumulator(str(pendulum)).Reload()

    assert set(events.Tags()["scalars"]) >= {
        "charts/episodic_return",
        "charts/episodic_length",
        "charts/SPS",
        "losses/qf1_loss",
        "losses/qf2_loss",
        "losses/qf_loss",
        "losses/actor_loss",
        "losses/alpha",
        "losses/alpha_loss",
        "eval/return_mean",
    }
    assert [event.step for event in events.Scalars("charts/episodic_return")] == [200, 400, 600]
    assert [event.step for event in events.Scalars("eval/return_mean")] == [250, 500, 600]


def test_policy_file_tells_where_it_comes_from(pendulum: Path) -> None:
    contract = OnnxPolicy.load(pendulum / "policy.onnx").contract

    assert contract.provenance.steps == 600
    assert contract.provenance.seed == 7
    assert contract.provenance.command.startswith("sac-ros train --sac.hidden-sizes 16 16")
    assert contract.provenance.packages["torch"]
    last = read_progress(pendulum)[-1]
    assert contract.provenance.evaluation_return == float(last["return_mean"])
    assert contract.task.action.high == (2.0,)


def test_policy_of_the_best_evaluation_is_kept_also_over_a_resumption(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(folder, "--env", "Pendulum-v1", "--steps", "300", "--eval-every", "50", "--seed", "7")
    assert run(["train", "--out", str(folder), "--resume", "--steps", "600"]) == 0

    best = max(read_progress(folder), key=lambda row: float(row["return_mean"]))
    kept = OnnxPolicy.load(folder / "best_policy.onnx").contract.provenance
    assert str(kept.steps) == best["step"]
    assert kept.evaluation_return == pytest.approx(float(best["return_mean"]))


def test_observed_range_spans_the_transitions(pendulum: Path) -> None:
    contract = OnnxPolicy.load(pendulum / "policy.onnx").contract
    _, rows, _ = read_checkpoint(pendulum)
    seen = np.concatenate((rows[:, :3], rows[:, 5:8]))  # obs and next_obs of [3, 1, 1, 3, 1, 1]

    # The last observation may begin an episode that has no transition yet.
    assert (np.array(contract.obs_low) <= seen.min(axis=0)).all()
    assert (np.array(contract.obs_high) >= seen.max(axis=0)).all()
    assert contract.obs_low[2] >= -8.0 and contract.obs_high[2] <= 8.0


def test_golden_observations_are_transitions_of_the_run(pendulum: Path) -> None:
    golden = np.array(OnnxPolicy.load(pendulum / "policy.onnx").contract.golden.obs, np.float32)
    _, rows, _ = read_checkpoint(pendulum)

    assert golden.shape == (32, 3)
    assert all((rows[:, :3] == obs).all(axis=1).any() for obs in golden)


def test_same_seed_gives_the_same_run_however_often_it_is_evaluated(
    pendulum: Path, tmp_path: Path
) -> None:
    arguments = ("--env", "Pendulum-v1", "--steps", "600", "--seed", "7")
    often = train(tmp_path / "often", *arguments, "--eval-every", "100")

    (tensors, rows, _), (other_tensors, other_rows, _) = map(read_checkpoint, (pendulum, often))
    assert all(tensor.equal(other_tensors[name]) for name, tensor in tensors.items())
    np.testing.assert_array_equal(rows, other_rows)
    assert read_progress(often)[-1] == read_progress(pendulum)[-1]


def test_another_seed_gives_another_run(pendulum: Path, tmp_path: Path) -> None:
    other = train(tmp_path / "other", "--env", "Pendulum-v1", "--steps", "20", "--seed", "8")

    assert not np.array_equal(read_checkpoint(other)[1][:20], read_checkpoint(pendulum)[1][:20])


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("kind", ["Recognisable-v0", "RecognisableEnding-v0"])
def test_buffer_holds_true_successors_and_both_flags(
    tmp_path: Path, num_envs: int, kind: str
) -> None:
    steps = 8 * num_envs
    folder = train(
        tmp_path / "run",
        *("--env", f"recognisable_env:{kind}", "--steps", str(steps)),
        *("--num-envs", str(num_envs)),
    )

    _, rows, _ = read_checkpoint(folder)
    # A row is obs [3], action [1], reward, next_obs [3], terminated, truncated.
    obs, reward, next_obs, flags = rows[:, :3], rows[:, 4], rows[:, 5:8], rows[:, 8:]
    assert len(rows) == steps
    # Obs is [seed, episode, step]: the successor is of the same episode, one step on.
    np.testing.assert_array_equal(next_obs, obs + np.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(reward, next_obs[:, 2])
    ended = next_obs[:, 2] == recognisable_env.EPISODE_LENGTH
    assert ended.sum() == 2 * num_envs
    terminates = kind == "RecognisableEnding-v0"
    np.testing.assert_array_equal(flags[:, 0], ended & terminates)
    np.testing.assert_array_equal(flags[:, 1], ended & (not terminates))


def test_episodes_are_counted_apart_in_each_environment(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", *RECOGNISABLE, "--steps", "24", "--num-envs", "3")

    events = EventAccumulator(str(folder)).Reload().Scalars("charts/episodic_return")
    # Rewards 1 + 2 + 3 + 4, three environments, two episodes each.
    assert [(event.step, event.value) for event in events] == [(12, 10.0)] * 3 + [(24, 10.0)] * 3


@pytest.mark.parametrize(
    ("utd_ratio", "num_envs", "updates"),
    # 100 random steps, then an update from the step that reaches 100 on.
    [("1", "1", 21), ("0.5", "1", 10), ("2", "1", 42), ("1", "3", 21), ("0.25", "3", 5)],
)
def test_updates_per_environment_step_are_the_utd_ratio(
    tmp_path: Path, utd_ratio: str, num_envs: str, updates: int
) -> None:
    folder = train(
        tmp_path / "run",
        *(*RECOGNISABLE, "--steps", "120", "--num-envs", num_envs, "--sac.utd-ratio", utd_ratio),
    )

    manifest = (folder / "checkpoint" / "manifest.json").read_text()
    assert f'"num_updates": {updates},' in manifest


def test_no_update_before_learning_starts(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", *RECOGNISABLE, "--steps", "99")

    assert '"num_updates": 0,' in (folder / "checkpoint" / "manifest.json").read_text()


def test_actions_before_learning_starts_fill_the_range(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", *RECOGNISABLE, "--steps", "99")

    action = read_checkpoint(folder)[1][:, 3]
    assert -1.0 <= action.min() < -0.8 and 0.8 < action.max() <= 1.0


def test_training_survives_a_terminal_that_lacks_a_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    folder = tmp_path / "run"

    arguments = ("--env", "Pendulum-v1", "--steps", "110", "--out", str(folder))
    process = start("train", *TINY, *arguments)
    said, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    assert " ? " in said and (folder / "policy.onnx").exists()


def test_training_stops_after_two_evaluations_that_reach_the_return(tmp_path: Path) -> None:
    folder = train(
        tmp_path / "run",
        *(*RECOGNISABLE, "--steps", "1000", "--eval-every", "20", "--stop-at-return", "10"),
    )

    assert [row["step"] for row in read_progress(folder)] == ["20", "40"]
    assert OnnxPolicy.load(folder / "policy.onnx").contract.provenance.steps == 40


def test_training_goes_on_below_the_return_to_stop_at(tmp_path: Path) -> None:
    folder = train(
        tmp_path / "run",
        *(*RECOGNISABLE, "--steps", "60", "--eval-every", "20", "--stop-at-return", "10.1"),
    )

    assert [row["step"] for row in read_progress(folder)] == ["20", "40", "60"]


def test_finished_run_can_be_given_more_steps(tmp_path: Path) -> None:
    arguments = ("--env", "Pendulum-v1", "--eval-every", "50")
    whole = train(tmp_path / "whole", *arguments, "--steps", "150")
    longer = train(tmp_path / "longer", *arguments, "--steps", "100")

    assert run(["train", "--out", str(longer), "--resume", "--steps", "150"]) == 0

    assert_same_training(whole, longer)


def test_task_of_a_model_file_is_trained_on_executed_actions(tmp_path: Path) -> None:
    folder = train(
        tmp_path / "run", *("--task", "two_joint_arm", "--steps", "260", "--num-envs", "2")
    )

    task = RunFolder(folder).read_task()
    _, rows, _ = read_checkpoint(folder)
    first_actions = rows[:2, task.obs_dim : task.obs_dim + task.action_dim]
    first_angles = rows[:2, :2]  # both scaled by the greatest command
    assert task.action.rate_limit is not None
    # From where the arm is, the safety filter lets through one period of the rate limit.
    limits = np.array(task.action.rate_limit) * task.control_period_s / np.array(task.action.high)
    assert (np.abs(first_actions - first_angles) <= limits * (1.0 + 1e-5)).all()
