"""What a report says is true: intervals, pooled seeds, and Q values against what was earned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recognisable_env  # noqa: F401 - registers its environments
from training_process import TINY

from sac_ros.command_line import run
from sac_ros.sac.checkpoints.saved_critic import load_critic
from sim_training.run_report.run_groups import group_by_settings
from sim_training.run_report.run_history import (
    Curve,
    RunHistory,
    downsample,
    on_common_steps,
    read_history,
)
from sim_training.run_report.seed_interval import interquartile_mean, seed_band
from sim_training.run_report.value_check import Steps, check_values, pool_checks, soft_returns

# From rliable 1.2.0 (with arch 7.2.0, pandas 2.3.3), 50,000 resamples, on the numbers below.
SCORES = np.array([[917.2], [1318.8], [533.2], [1990.3], [456.6], [492.3], [53.2]])
RLIABLE_IQM, RLIABLE_INTERVAL = 743.62, (383.06, 1349.96)
CURVES = np.array(
    [
        [52.0, 157.8, 383.5, 534.1],
        [94.7, 407.3, 495.3, 609.5],
        [67.4, 214.3, 410.2, 505.9],
        [289.7, 341.0, 748.8, 952.0],
        [434.6, 958.9, 1176.1, 1342.2],
    ]
)
RLIABLE_CURVE = (150.6, 320.86666667, 551.43333333, 698.53333333)
RLIABLE_LOW = (57.13333333, 176.63333333, 392.4, 515.3)
RLIABLE_HIGH = (386.3, 775.03333333, 1033.66666667, 1212.13333333)


def test_interquartile_mean_is_rliables() -> None:
    assert interquartile_mean(SCORES)[0] == pytest.approx(RLIABLE_IQM, abs=1e-9)
    assert interquartile_mean(CURVES) == pytest.approx(RLIABLE_CURVE, abs=1e-6)


def test_interval_is_rliables() -> None:
    """The ends of a bootstrap interval are themselves random: within 3 % here, by 20,000 draws."""
    band = seed_band(SCORES, num_resamples=20_000)
    curve = seed_band(CURVES, num_resamples=20_000)

    assert (band.low[0], band.high[0]) == pytest.approx(RLIABLE_INTERVAL, rel=0.03)
    assert curve.low == pytest.approx(RLIABLE_LOW, rel=0.03)
    assert curve.high == pytest.approx(RLIABLE_HIGH, rel=0.03)


def test_interval_of_the_same_runs_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(seed_band(CURVES), seed_band(CURVES))


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    # 200 experiments of 15 seeds each, side by side; the truth of each is 0.
    band = seed_band(rng.normal(size=(15, 200)))

    covered = ((band.low <= 0.0) & (band.high >= 0.0)).mean()
    assert 0.86 <= covered <= 0.98  # 95 % is asymptotic: 15 seeds give some 92 %


def test_seeds_are_compared_as_far_as_all_of_them_have_come() -> None:
    long = Curve(np.array([10.0, 20.0, 30.0, 40.0]), np.array([0.0, 2.0, 4.0, 6.0]))
    short = Curve(np.array([15.0, 30.0]), np.array([10.0, 40.0]))

    steps, values = on_common_steps([long, short])

    assert steps.tolist() == [15.0, 20.0, 30.0]
    assert values == pytest.approx(np.array([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]]))


def test_thinned_curve_keeps_its_mean() -> None:
    curve = Curve(np.arange(1000.0), np.random.default_rng(0).normal(size=1000))

    few = downsample(curve, 100)

    assert len(few.step) == 100
    assert few.value.mean() == pytest.approx(curve.value.mean(), abs=1e-12)
    assert downsample(few, 200) is few


@pytest.mark.parametrize(("terminated", "last_value"), [(True, 100.0), (False, 100.0)])
def test_soft_return_ends_at_termination_and_goes_on_at_truncation(
    terminated: bool, last_value: float
) -> None:
    steps = Steps(
        q=np.zeros(2),
        reward=np.array([1.0, 2.0]),
        entropy_bonus=np.array([7.0, 0.25]),
        ends=np.array([False, terminated]),
        last_value=last_value,
    )

    realised = soft_returns(steps, gamma=0.5)

    last = 2.0 if terminated else 2.0 + 0.5 * last_value
    # The entropy of the first action is past when Q is asked; that of the second is to come.
    assert realised.tolist() == [1.0 + 0.5 * (last + 0.25), last]


def test_soft_return_ends_at_a_lost_life_too() -> None:
    steps = Steps(
        q=np.zeros(3),
        reward=np.array([1.0, 2.0, 4.0]),
        entropy_bonus=np.array([7.0, 0.25, 0.25]),
        ends=np.array([False, True, False]),
        last_value=8.0,
    )

    assert soft_returns(steps, gamma=0.5).tolist() == [1.0 + 0.5 * 2.25, 2.0, 4.0 + 0.5 * 8.0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunHistory]:
    """Two seeds of an environment whose rewards are 1, 2, 3, 4, then the end; entropy is free."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("1", "2"):
        arguments = ("train", "--env", "recognisable_env:RecognisableEnding-v0", *TINY)
        settings = ("--steps", "20", "--eval-every", "10", "--sac.fixed-alpha", "0")
        out = ("--seed", seed, "--out", str(folder / seed))
        assert run([*arguments, *settings, "--sac.gamma", "0.5", *out]) == 0
    return [read_history(folder / seed) for seed in ("1", "2")]


def test_realised_returns_are_those_of_the_environment(runs: list[RunHistory]) -> None:
    check = check_values(runs[0], num_episodes=2, seed=5)

    # 4; 3 + 4/2; 2 + 5/2; 1 + 4.5/2
    assert check.realised.tolist() == [3.25, 4.5, 5.0, 4.0] * 2
    assert check.step.tolist() == [0, 1, 2, 3] * 2
    assert check.episode.tolist() == [0] * 4 + [1] * 4
    assert check.discounted_return == 3.25
    assert check.tail_weight == 0.0
    assert check.bias == pytest.approx(check.q.mean() - 4.1875)


def test_critics_of_numbered_actions_are_judged_too(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("train", "--env", "CartPole-v1", "--algorithm", "sac_discrete", *TINY)
    settings = ("--steps", "20", "--sac.fixed-alpha", "0.5", "--sac.gamma", "0.5")
    assert run([*arguments, *settings, "--out", str(folder)]) == 0

    check = check_values(read_history(folder), num_episodes=2, seed=5)

    # A reward of 1 and an entropy of up to 0.5 log 2 a step, and a pole that falls.
    (ends,) = np.nonzero(np.append(np.diff(check.episode), 1))
    assert check.realised[ends].tolist() == [1.0, 1.0]
    assert (check.realised[ends - 1] > 1.5).all()
    # Hardly trained, so all but indifferent: -log pi is near log 2 at every step.
    start = check.realised[0]
    assert start == pytest.approx(2.0 + 0.5 * np.log(2.0), abs=0.2)
    critic = load_critic(folder / "checkpoint")
    assert np.isfinite(check.q).all() and critic.alpha == pytest.approx(0.5)


def test_episodes_are_followed_beyond_the_time_limit(
    runs: list[RunHistory], tmp_path: Path
) -> None:
    folder = tmp_path / "pendulum"
    arguments = ("train", "--env", "Pendulum-v1", *TINY, "--steps", "20", "--out", str(folder))
    assert run([*arguments, "--sac.gamma", "0.9"]) == 0

    check = check_values(read_history(folder), num_episodes=1, seed=5)

    assert len(check.q) == 200  # the limit; 44 steps more are acted and not compared
    assert 0.0 < check.tail_weight <= 0.01


def test_pooled_checks_keep_episodes_and_runs_apart(runs: list[RunHistory]) -> None:
    checks = [check_values(run, num_episodes=2, seed=5) for run in runs]

    both = pool_checks(checks)

    assert both.episode.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert both.run.tolist() == [0] * 8 + [1] * 8
    assert both.bias == pytest.approx((checks[0].bias + checks[1].bias) / 2.0)


def test_runs_that_differ_in_their_seed_alone_are_one_group(runs: list[RunHistory]) -> None:
    first, second = runs
    other = replace(second, config=replace(second.config, sac=replace(second.config.sac, tau=0.5)))

    (both,) = group_by_settings([first, second])
    apart = group_by_settings([first, other])

    assert both.runs == (first, second)
    assert [group.label for group in apart] == ["tau 0.005", "tau 0.5"]
