"""`sac-ros tune`: what it tries, gives up and remembers, and what it hands to `sac-ros train`."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState
from source_tree import ROOT

from sac_ros.command_line import run
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml
from sim_training.training.run_folder import RunFolder
from sim_training.tuning.search_space import Candidates, read_search_space, suggest
from sim_training.tuning.study import open_study, requeue_interrupted

BASE = "hidden_sizes: [8]\nbatch_size: 8\nlearning_starts: 50\nbuffer_capacity: 1000\n"
SPACE = """
actor_learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
batch_size: {low: 8, high: 16}
hidden_sizes: {choices: [[8], [8, 8]]}
"""
QUICK = ("--", "--no-compiled")
PENDULUM = ("--env", "Pendulum-v1", "--evaluations", "2", "--eval-episodes", "1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options that name a base and a space of small networks."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "base.yaml").write_text(BASE)
    (folder / "space.yaml").write_text(SPACE)
    return ("--config", str(folder / "base.yaml"), "--space", str(folder / "space.yaml"))


def read_trials(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def searched(files: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of three trials, two at a time."""
    out = tmp_path_factory.mktemp("searched") / "out"
    budget = ("--trials", "3", "--steps", "80", "--jobs", "2")
    assert run(["tune", *PENDULUM, *files, *budget, "--out", str(out), *QUICK]) == 0
    return out


def test_each_trial_is_a_run_with_the_settings_that_the_table_says(searched: Path) -> None:
    trials = read_trials(searched)

    assert len(trials) == 3
    assert len({trial["actor_learning_rate"] for trial in trials}) == 3
    for trial in trials:
        config = RunFolder(searched / trial["run"]).read_config()
        assert isinstance(config.sac, SACConfig)
        assert config.sac.actor_learning_rate == pytest.approx(float(trial["actor_learning_rate"]))
        assert config.sac.batch_size == int(trial["batch_size"]) in range(8, 17)
        assert list(config.sac.hidden_sizes) == yaml.safe_load(trial["hidden_sizes"])
        assert not config.compiled, "what stands after -- is for the trials"
        assert config.sac.learning_starts == 50, "the base file's, which is not searched"
        assert (trial["state"], trial["steps"]) == ("complete", "80")
    seeds = {RunFolder(searched / trial["run"]).read_config().seed for trial in trials}
    assert seeds == {1, 2, 3}


def test_best_settings_are_those_of_the_greatest_return_and_train_reads_them(
    searched: Path, tmp_path: Path
) -> None:
    best = max(read_trials(searched), key=lambda trial: float(trial["return_mean"]))
    arguments = ("--env", "Pendulum-v1", "--steps", "5", "--eval-episodes", "1", "--no-compiled")

    settings = ("--config", str(searched / "best.yaml"), "--out", str(tmp_path / "run"))
    assert run(["train", *arguments, *settings]) == 0

    tuned = RunFolder(searched / best["run"]).read_config().sac
    assert RunFolder(tmp_path / "run").read_config().sac == tuned
    assert read_yaml(searched / "best.yaml", SACConfig) == tuned


def test_finished_search_is_not_overwritten_and_can_be_given_more_trials(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tune", *PENDULUM, "--out", str(searched)]) == 2
    assert "already has a search" in capsys.readouterr().err

    assert run(["tune", "--out", str(searched), "--resume", "--steps", "90"]) == 2
    assert "steps was 80 and is now 90" in capsys.readouterr().err

    assert run(["tune", "--out", str(searched), "--resume", "--trials", "4"]) == 0
    assert len(read_trials(searched)) == 4


def test_stopped_search_goes_on_with_the_trial_it_was_at(
    files: tuple[str, ...], tmp_path: Path
) -> None:
    program = "from sac_ros.command_line import main; main()"
    arguments = (
        *PENDULUM,
        *files,
        "--trials",
        "1",
        "--steps",
        "1500",
        "--out",
        str(tmp_path),
        *QUICK,
    )
    search = subprocess.Popen(
        [sys.executable, "-c", program, "tune", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    checkpoint = tmp_path / "trial_0000" / "checkpoint" / "manifest.json"
    while not checkpoint.exists():
        assert search.poll() is None
        time.sleep(0.05)
    search.send_signal(signal.SIGINT)
    output, _ = search.communicate()

    assert search.returncode == 128 + signal.SIGINT
    assert f"resume with: sac-ros tune --out {tmp_path} --resume" in output
    stopped = yaml.safe_load((tmp_path / "trial_0000" / "config.yaml").read_text())

    assert run(["tune", "--out", str(tmp_path), "--resume"]) == 0

    (trial,) = read_trials(tmp_path)
    assert (trial["run"], trial["state"], trial["steps"]) == ("trial_0000", "complete", "1500")
    assert yaml.safe_load((tmp_path / "trial_0000" / "config.yaml").read_text()) == stopped
    progress = next((tmp_path / "trial_0000" / "checkpoint").glob("progress-*.json")).read_text()
    assert "--resume" in progress, "it began anew instead of going on"


def test_search_whose_trials_all_fail_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "space.yaml").write_text("critic_learning_rate: {choices: [1.0e+29, 1.0e+30]}")
    files = ("--config", str(tmp_path / "base.yaml"), "--space", str(tmp_path / "space.yaml"))
    budget = ("--trials", "9", "--steps", "400", "--jobs", "3", "--out", str(tmp_path / "out"))

    assert run(["tune", *PENDULUM, *files, *budget, *QUICK]) == 2

    assert "trials failed, the last one with: " in capsys.readouterr().err
    failed = [trial for trial in read_trials(tmp_path / "out") if trial["state"] == "fail"]
    assert len(failed) == 3 and all(
        "training diverged at step" in trial["failure"] for trial in failed
    )


def test_trial_below_the_median_is_given_up_but_not_in_its_first_third(tmp_path: Path) -> None:
    study = open_study(tmp_path / "journal", seed=1, warmup_steps=30)
    for value in (10.0, 20.0, 30.0, 40.0, 50.0):
        trial = study.ask()
        for step in (20, 40):
            trial.report(value, step)
            assert not trial.should_prune(), "the first five tell what is usual"
        study.tell(trial, value)

    poor, good = study.ask(), study.ask()
    poor.report(0.0, 20)
    early = poor.should_prune()
    poor.report(0.0, 40)
    good.report(35.0, 40)

    assert (early, poor.should_prune(), good.should_prune()) == (False, True, False)


def test_interrupted_trial_comes_back_with_its_own_values(tmp_path: Path) -> None:
    space = {
        "actor_learning_rate": Candidates(low=1e-4, high=1e-2, log=True),
        "hidden_sizes": Candidates(choices=((8,), (16, 16))),
    }
    study = open_study(tmp_path / "journal", seed=1, warmup_steps=30)
    trial = study.ask()
    values = suggest(trial, space, SACConfig())
    trial.set_user_attr("run", "trial_0000")

    again = open_study(tmp_path / "journal", seed=7, warmup_steps=30)
    assert requeue_interrupted(again) == 1
    resumed = again.ask()

    assert suggest(resumed, space, SACConfig()) == values
    assert resumed.user_attrs["run"] == "trial_0000"
    assert again.get_trials()[0].state is TrialState.FAIL


@pytest.mark.parametrize("name", ["sac", "sac_v1", "sac_discrete"])
def test_shipped_search_space_suits_every_algorithm(name: str) -> None:
    from sac_ros.sac.config.algorithm_config import CONFIGS

    path = package_share() / "config" / "search_space.yaml"
    configs = {str(key): value for key, value in CONFIGS.items()}

    assert "gamma" in read_search_space(path, configs[name]())


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ("gama: {choices: [0.9, 0.99]}", "unknown hyperparameters ['gama']"),
        ("gamma: {choices: [0.9, 1.5]}", "gamma must be in (0, 1), got 1.5"),
        ("tau: {low: 0.1, high: 2.0}", "tau must be in (0, 1], got 2.0"),
        ("tau: {low: 0.1}", "either low and high, or choices"),
        ("tau: {low: 0.2, high: 0.1}", "low must be below high"),
        ("tau: {low: 0.0, high: 0.1, log: true}", "log needs a range"),
        ("tau: {low: 1e-3, high: 0.1}", "1.0e-3"),
        ("batch_size: {low: 8.5, high: 16}", "batch_size"),
        ("gamma: {choices: [0.9]}", "two or more"),
        ("gamma: 0.9", "expected a mapping"),
        ("{}", "is empty"),
    ],
)
def test_mistake_in_the_space_is_found_before_any_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], space: str, reason: str
) -> None:
    path, out = tmp_path / "space.yaml", tmp_path / "out"
    path.write_text(space)

    assert run(["tune", *PENDULUM, "--space", str(path), "--out", str(out)]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors and str(path) in errors, errors
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give --task half_cheetah"),
        (("--env", "Pendulm-v1"), "Pendulm"),
        (("--env", "Pendulum-v1", "--trials", "0"), "trials must be at least 1"),
        (("--env", "Pendulum-v1", "--jobs", "0"), "jobs must be at least 1"),
        (("--env", "Pendulum-v1", "--steps", "5"), "evaluations must be at most steps"),
        (("--env", "Pendulum-v1", "--algorithm", "ppo"), "--algorithm"),
        (("--env", "Pendulum-v1", "--resume", "--out", "nowhere"), "has no search to resume"),
        (("--env", "Pendulum-v1", "--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_mistake_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert run(["tune", *arguments]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors, errors


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["tune", "--help"])

    assert end.value.code == 0
    text = capsys.readouterr().out
    for option in ("--task", "--trials", "--steps", "--jobs", "--space", "--resume", "--config"):
        assert option in text
