"""Learning from pixels: environments, and a run from the first step to the policy file."""

from itertools import pairwise
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import AtariPreprocessing
from training_process import assert_same_training, read_checkpoint

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.action import ActionScaling
from sim_training.environments.env import (
    gymnasium_task,
    make_env,
    make_vector_env,
    terminated_for_learner,
)
from sim_training.environments.image_env import ATARI_SETTINGS, LivesEnv, load_atari
from sim_training.environments.pixel_catch import (
    BALLS_PER_EPISODE,
    CELL_PIXELS,
    NUM_CELLS,
    PixelCatch,
)
from sim_training.evaluation.policy_evaluation import evaluate_policy

CATCH = "sim_training.environments.pixel_catch:PixelCatch-v0"
TINY = (
    *("--algorithm", "sac_discrete", "--sac.encoder", "nature_cnn", "--sac.hidden-sizes", "16"),
    *("--sac.batch-size", "4", "--sac.learning-starts", "60", "--sac.buffer-capacity", "80"),
    *("--sac.utd-ratio", "0.05", "--eval-episodes", "1", "--eval-every", "120"),
)


def test_ball_is_caught_by_standing_below_it() -> None:
    env = PixelCatch()
    image, _ = env.reset(seed=3)
    returns, ended = 0.0, False
    while not ended:
        (ball,) = {column // CELL_PIXELS for column in np.argwhere(image == 255)[:, 1]}
        bat = {column // CELL_PIXELS for column in np.argwhere(image == 128)[:, 1]} or {ball}
        image, reward, ended, _, _ = env.step(np.int64(1 + np.sign(ball - bat.pop())))
        returns += reward

    # A ball may fall where the bat, one cell a step, comes just in time.
    assert returns == BALLS_PER_EPISODE
    assert image.shape == (84, 84)


def test_ball_is_missed_by_standing_elsewhere() -> None:
    env = PixelCatch()
    env.reset(seed=0)
    rewards = [env.step(np.int64(0))[1] for _ in range((NUM_CELLS - 1) * 200)]

    assert sum(reward != 0.0 for reward in rewards) == 200
    # At the left wall one ball of six falls into the bat.
    assert sum(rewards) == pytest.approx(-200 * 4 / 6, abs=40)


def test_gymnasiums_checker_passes() -> None:
    check_env(PixelCatch(), skip_render_check=True)


def test_four_images_are_stacked_newest_last() -> None:
    env = make_env(gymnasium_task(CATCH))
    first, _ = env.reset(seed=0)
    obs, *_ = env.step(np.zeros(1, np.float32))

    assert first.shape == obs.shape == (4 * 84 * 84,)
    images, before = obs.reshape(4, 84, 84), first.reshape(4, 84, 84)
    assert (before == before[0]).all()
    np.testing.assert_array_equal(images[:3], before[1:])
    assert (images[3] != images[2]).any() and set(np.unique(images)) <= {0, 128, 255}


@pytest.mark.long
def test_pixels_are_learned_from_saved_and_exported(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ("train", "--env", CATCH, *TINY)

    assert run([*command, "--steps", "160", "--out", str(whole)]) == 0
    assert run([*command, "--steps", "120", "--out", str(parts)]) == 0
    assert run(["train", "--out", str(parts), "--resume", "--steps", "160"]) == 0

    assert_same_training(whole, parts)
    policy = OnnxPolicy.load(parts / "policy.onnx")
    assert policy.task.obs_dim == 4 * 84 * 84
    (value,) = evaluate_policy(policy, num_episodes=1, seed=0)
    assert -5.0 <= value <= 5.0


def test_network_for_pixels_is_refused_where_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("train", "--env", "CartPole-v1", *TINY, "--out", str(tmp_path / "run"))

    assert run(list(command)) == 2

    assert "84 x 84" in capsys.readouterr().err


@pytest.fixture(scope="module")
def atari() -> None:
    pytest.importorskip("ale_py")


@pytest.mark.usefixtures("atari")
def test_atari_is_seen_as_the_sources_see_it() -> None:
    task = gymnasium_task("ALE/Breakout-v5")
    assert task.obs_dim == 4 * 84 * 84
    assert task.action.choices == ((0.0,), (1.0,), (2.0,), (3.0,))
    assert task.max_episode_steps == 27_000
    envs = make_vector_env(task, 1)
    envs.reset(seed=[0])
    choices = ActionScaling(task.action).actions_of_choices()
    assert choices is not None
    rng = np.random.default_rng(0)
    rewards, truncations = set(), 0
    for _ in range(600):
        action = choices[rng.integers(4)][None].astype(np.float32)
        obs, reward, _, truncated, _ = envs.step(action)
        rewards.add(float(reward[0]))
        truncations += int(truncated[0])
    # FIRE at reset: without it no ball is ever served to one who does not press it.
    assert rewards == {0.0, 1.0}
    assert truncations == 0
    assert obs.shape == (1, 4 * 84 * 84) and obs.max() > 100.0
    envs.close()


@pytest.mark.usefixtures("atari")
def test_lost_life_ends_what_the_learner_expects_and_not_the_game() -> None:
    envs = make_vector_env(gymnasium_task("ALE/Breakout-v5"), 1)
    envs.reset(seed=[0])
    idle = np.full((1, 1), -1.0, np.float32)
    lives, ends = [], []
    while not ends or not ends[-1][0]:
        _, _, terminated, _, info = envs.step(idle)
        lives.append(int(info["lives"][0]) if not terminated else 0)
        ends.append((bool(terminated[0]), bool(terminated_for_learner(terminated, info)[0])))
    envs.close()

    # Breakout gives five, and takes one from whoever stands still as soon as a ball is served.
    lost = [now < before for before, now in pairwise([5, *lives])]
    assert sum(lost) == 5
    assert [final for _, final in ends] == lost
    assert [terminated for terminated, _ in ends].count(True) == 1


@pytest.mark.usefixtures("atari")
def test_each_life_begins_with_the_actions_of_the_sources() -> None:
    load_atari()
    plain, lives = (
        AtariPreprocessing(gymnasium.make("ALE/Breakout-v5", **ATARI_SETTINGS)) for _ in range(2)
    )
    ours = LivesEnv(lives)
    noop, fire, right = range(3)

    begun, _ = ours.reset(seed=3)
    plain.reset(seed=3)
    expected = [plain.step(action)[0] for action in (fire, right)][-1]
    np.testing.assert_array_equal(begun, expected)

    life_lost = False
    while not life_lost:
        begun, _, _, _, info = ours.step(noop)
        plain.step(noop)
        life_lost = bool(info["life_lost"])
    expected = [plain.step(action)[0] for action in (noop, fire, right)][-1]
    np.testing.assert_array_equal(begun, expected)


@pytest.mark.usefixtures("atari")
def test_buffer_keeps_a_lost_life_as_an_end(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("train", "--env", "ALE/Breakout-v5", *TINY, "--steps", "50", "--out", str(out))

    assert run(list(command)) == 0

    _, rows, progress = read_checkpoint(out)
    terminated = rows[:, -2]
    # In fifty steps at random a life or two are lost, and no game is.
    assert 1 <= terminated.sum() <= 2
    assert progress.arrays["episode_length"] == [50]


@pytest.mark.usefixtures("atari")
def test_game_of_atari_is_the_same_again_from_the_same_seed() -> None:
    task = gymnasium_task("ALE/Pong-v5")
    screens = []
    for _ in range(2):
        env = make_env(task)
        env.reset(seed=5)
        screens.append([env.step(np.ones(1, np.float32))[0] for _ in range(30)][-1])
        env.close()

    np.testing.assert_array_equal(*screens)
