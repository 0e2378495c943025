"""Every mistake on the command line ends with one line that helps, and with status 2."""

import fcntl
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import recognisable_env  # noqa: F401 - registers its environments
from training_process import TINY, assert_same_training, read_checkpoint, start

from sac_ros.command_line import run
from sac_ros.task.package_share import package_share

PENDULUM = ("--env", "Pendulum-v1", *TINY)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line with which a command is refused."""
    assert run(list(arguments)) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and errors.startswith("sac-ros: "), errors
    return errors


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--task", "inverted_pendulun"), "unknown task 'inverted_pendulun'"),
        (("--task", "nowhere.yaml"), "nowhere.yaml"),
        (("--env", "Pendulm-v1"), "Did you mean: `Pendulum`"),
        (("--env", "CartPole-v1"), "Discrete"),
        (("--env", "recognisable_env:UnboundedAction-v0"), "finite"),
        ((), "--task half_cheetah"),
        (("--task", "hopper", "--env", "Pendulum-v1"), "exactly one"),
        (("--env", "Pendulum-v1", "--sac.gama", "0.9"), "--sac.gamma"),
        (("--env", "Pendulum-v1", "--sac.gamma", "high"), "sac-ros: --sac.gamma: could not"),
        (("--env", "Pendulum-v1", "--sac.gamma", "1.5"), "sac-ros: gamma must be in (0, 1)"),
        (("--env", "Pendulum-v1", "--steps"), "--steps"),
        (("--env", "Pendulum-v1", "--steps", "many"), "many"),
        (("--env", "Pendulum-v1", "--seed", "-1"), "seed must be in [0, 2^32)"),
        (("--env", "Pendulum-v1", "--stop-at-return", "nan"), "stop_at_return must be finite"),
        (("--env", "Pendulum-v1", "--device", "gpu"), "device 'gpu' is unknown"),
        (("--env", "Pendulum-v1", "--device", "mps"), "device 'mps' is not supported"),
        (("--env", "Pendulum-v1", "--device", "meta"), "device 'meta' is not supported"),
        (("--env", "Pendulum-v1", "--device", "cuda:99"), "device 'cuda:99' is not available"),
        (("--env", "Pendulum-v1", "extra"), "extra"),
        (("--env", "Pendulum-v1", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("--env", "Pendulum-v1", "--num-envs", "2000000"), "num_envs must be at most"),
        (("--task", "half_cheetah", "--num-envs", "1000000"), "MiB per environment"),
        (
            ("--env", "Pendulum-v1", "--sac.batch-size", "300", "--sac.buffer-capacity", "299"),
            "buffer_capacity must be at least batch_size, got 299",
        ),
        (("--env", "Pendulum-v1", "--sac.buffer-capacity", "99999999999"), "buffer_capacity"),
        (("--env", "Pendulum-v1", "--sac.hidden-sizes", "900000", "900000"), "GiB are available"),
        (("--env", "Pendulum-v1", "--sac.hidden-sizes", "90000000000"), "GiB are available"),
        *(
            (("--env", "Pendulum-v1", f"--{name}", value), f"must be at least 1, got {value}")
            for name in ("steps", "num-envs", "eval-every", "eval-episodes", "checkpoint-every")
            for value in ("0", "-3")
        ),
        *(
            (("--env", "Pendulum-v1", f"--sac.{name}", value), f"got {value}")
            for name in ("batch-size", "buffer-capacity", "num-critics")
            for value in ("0", "-3")
        ),
        (("--env", "Pendulum-v1", "--sac.hidden-sizes", "16", "0"), "got (16, 0)"),
        (("--env", "Pendulum-v1", "--sac.learning-starts", "-1"), "got -1"),
        (("--env", "Pendulum-v1", "--sac.utd-ratio", "0"), "got 0.0"),
        (("--env", "Pendulum-v1", "--threads", "0"), "threads must be at least 1"),
        (("--env", "Pendulum-v1", "--threads", "100000"), "threads must be at most 256"),
        (("--env", "Pendulum-v1", "--log-every", "0"), "log_every must be at least 1"),
        (("--env", "Pendulum-v1", "--seeds", "1", "1"), "sac-ros: seeds must be different"),
    ],
)
def test_mistake_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    out = tmp_path / "run"

    assert reason in refusal(capsys, "train", *arguments, "--out", str(out))

    assert not (out / "checkpoint").exists()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "UTF-8"])
def test_mistake_reads_the_same_in_every_terminal(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)

    _, told = start("train", *PENDULUM, "--sac.gamma", "high").communicate(timeout=120)

    assert told == (
        "sac-ros: --sac.gamma: could not convert string to float: 'high';"
        " sac-ros train --help lists every option\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("actor_learning_rate: 3e-4\n", "3.0e-4"),
        ("gama: 0.98\n", "gamma"),
        ("batch_size: many\n", "batch_size"),
        ("gamma: 2.0\n", "gamma must be in (0, 1)"),
        ("- 1\n", "mapping"),
        ("gamma: [\n", "line 2: not valid YAML: while parsing"),
    ],
)
def test_mistake_in_a_config_file_names_file_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, reason: str
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(content)

    message = refusal(capsys, "train", *PENDULUM, "--config", str(config), "--out", str(tmp_path))

    assert str(config) in message and reason in message


def test_options_override_the_config_file_and_both_are_kept(tmp_path: Path) -> None:
    config, folder = tmp_path / "mine.yaml", tmp_path / "run"
    config.write_text("gamma: 0.9\ntau: 0.1\n")

    arguments = (*PENDULUM, "--config", str(config), "--sac.tau", "0.2", "--steps", "5")
    assert run(["train", *arguments, "--out", str(folder)]) == 0

    text = (folder / "config.yaml").read_text()
    assert "gamma: 0.9\n" in text and "tau: 0.2\n" in text and "steps: 5\n" in text


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    folder = tmp_path / "finished"
    assert run(["train", *PENDULUM, "--steps", "30", "--out", str(folder)]) == 0
    return folder


def test_folder_that_holds_a_run_is_not_overwritten(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "checkpoint" / "manifest.json").read_bytes()

    message = refusal(capsys, "train", *PENDULUM, "--out", str(finished))

    assert "already has a saved run" in message and "--resume" in message
    assert (finished / "checkpoint" / "manifest.json").read_bytes() == before


def test_resume_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none"

    assert "has no saved run" in refusal(capsys, "train", *PENDULUM, "--out", str(out), "--resume")

    assert not out.exists()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (("--seed", "5"), "seed was 1 and is now 5"),
        (("--num-envs", "2"), "num_envs"),
        (("--threads", "2"), "threads"),
        (("--sac.gamma", "0.5"), "sac.gamma was 0.99 and is now 0.5"),
        (("--sac.hidden-sizes", "8", "8"), "sac.hidden_sizes"),
        (("--env", "MountainCarContinuous-v0"), "env was Pendulum-v1"),
        (("--task", "inverted_pendulum"), "task was None"),
    ],
)
def test_resume_with_another_setting_names_it(
    finished: Path, capsys: pytest.CaptureFixture[str], changed: tuple[str, ...], name: str
) -> None:
    message = refusal(
        capsys, "train", "--out", str(finished), "--resume", "--steps", "60", *changed
    )

    assert name in message


def test_resume_with_a_changed_task_file_names_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, folder = tmp_path / "mine.yaml", tmp_path / "run"
    text = (package_share() / "config" / "tasks" / "inverted_pendulum.yaml").read_text()
    task.write_text(text)
    arguments = ("train", "--task", str(task), *TINY, "--out", str(folder))
    assert run([*arguments, "--steps", "10"]) == 0
    task.write_text(text.replace("max_episode_steps: 1000", "max_episode_steps: 500"))

    message = refusal(capsys, *arguments, "--steps", "20", "--resume")

    assert "['max_episode_steps']" in message


@pytest.mark.parametrize("victim", ["manifest.json", "state-*", "progress-*", "replay-*"])
def test_damaged_checkpoint_is_refused_by_the_name_of_its_file(
    finished: Path, capsys: pytest.CaptureFixture[str], victim: str
) -> None:
    path = next((finished / "checkpoint").glob(victim))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    message = refusal(capsys, "train", "--out", str(finished), "--resume", "--steps", "60")

    assert str(path) in message


def test_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    message = refusal(capsys, "train", *PENDULUM, "--out", str(tmp_path / "file" / "run"))

    assert str(tmp_path / "file" / "run") in message and "choose another --out" in message


def test_second_process_in_the_same_folder_is_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (finished / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        message = refusal(capsys, "train", "--out", str(finished), "--resume", "--steps", "60")
    assert "another process" in message


def test_full_disk_keeps_the_last_checkpoint_and_training_goes_on_later(tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    arguments = ("train", *PENDULUM, "--steps", "300", "--eval-every", "100", "--out")
    assert run([*arguments, str(whole)]) == 0
    assert run([*arguments, str(full), "--steps", "100"]) == 0
    saved = (full / "checkpoint" / "manifest.json").read_bytes()

    # No file may grow beyond 15 kB, which is what a checkpoint's state needs and nothing else.
    program = "from sac_ros.command_line import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", program, *arguments, str(full), "--resume"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000)),
    )

    assert process.returncode == 2
    assert process.stderr.count("\n") == 1, process.stderr
    assert "The checkpoint of step 100 is intact" in process.stderr
    assert "--resume" in process.stderr
    assert (full / "checkpoint" / "manifest.json").read_bytes() == saved
    assert run([*arguments, str(full), "--resume"]) == 0
    assert_same_training(whole, full)


def test_divergence_stops_training_before_it_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"

    message = refusal(
        capsys,
        *("train", *PENDULUM, "--steps", "300", "--out", str(folder)),
        *("--sac.critic-learning-rate", "1e30", "--sac.actor-learning-rate", "1e30"),
    )

    assert "training diverged at step" in message
    tensors, _, _ = read_checkpoint(folder)
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["train", "--help"])

    assert end.value.code == 0
    text = capsys.readouterr().out
    for option in ("--task", "--env", "--steps", "--resume", "--config", "--sac.utd-ratio"):
        assert option in text
    assert "half_cheetah" in text and "0.0003" in text
