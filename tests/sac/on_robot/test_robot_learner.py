"""A learner that lives with a robot: what its folder holds, and what a new process makes of it."""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from balancing_checkpoint import CONFIG, balancing_task, write_balancing_run
from full_disk import files_limited_to
from linear_policy import PROVENANCE

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.sac.checkpoints.checkpoint import Progress, load_learner, save_checkpoint
from sac_ros.sac.checkpoints.onnx_export import export_policy
from sac_ros.sac.config.sac_v1_config import SACV1Config
from sac_ros.sac.learners.algorithms import Dimensions
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.learners.sac_v1 import SACV1Learner
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.sac.on_robot.episodes_file import read_episodes
from sac_ros.sac.on_robot.fine_tuning import DivergedError
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.learner_start import RobotLearnerError
from sac_ros.sac.on_robot.policy_ledger import RobotFolderError
from sac_ros.sac.on_robot.prior_transitions import PriorTransitionsError
from sac_ros.sac.on_robot.robot_learner import RobotLearner
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import TransitionLogError
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import Transition

TASK = balancing_task(max_episode_steps=10)
RECIPE = FineTuningConfig(
    warmup_steps=20, critic_steps=0, batch_size=16, buffer_capacity=1000, prior_anneal_steps=100
)


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    return write_balancing_run(tmp_path, TASK)


@contextmanager
def living(
    folder: Path,
    policy: Path,
    checkpoint: Path | None,
    recipe: FineTuningConfig = RECIPE,
    compiled: bool = False,
    prior_transitions: Path | None = None,
) -> Iterator[RobotLearner]:
    settings = RobotLearnerSettings(
        folder=folder / "robot",
        checkpoint=checkpoint,
        uses_prior=checkpoint is not None,
        prior_transitions=prior_transitions,
        config=recipe,
        seed=0,
        keep_policies=2,
        compiled=compiled,
    )
    with closing(RobotLearner(settings, OnnxPolicy.load(policy).contract)) as learner:
        yield learner


def act(
    learner: RobotLearner, num_steps: int, policy: int = 0, reward: float = 1.0, **flags: bool
) -> None:
    """Do as many steps, in episodes of ten."""
    for _ in range(num_steps):
        number = learner.log.num_added
        rng = np.random.default_rng(number)
        learner.add(
            Transition(
                episode=number // 10,
                step=number % 10,
                obs=rng.normal(0.0, 0.1, 4).astype(np.float32),
                action=rng.uniform(-1.0, 1.0, 1),
                reward=reward,
                next_obs=rng.normal(0.0, 0.1, 4).astype(np.float32),
                terminated=False,
                **{"truncated": number % 10 == 9, **flags},
                policy=policy,
            )
        )


def test_new_process_has_every_transition_and_the_learner_of_the_last(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 35)
        learner.learn_while(lambda: True)
        before, rows = learner.fine_tuning.learner.state(), learner.fine_tuning.online.rows(0, 35)
    with living(tmp_path, *run) as learner:
        state = learner.fine_tuning.learner.state()
        assert learner.fine_tuning.robot_steps == 35 and state.num_updates == before.num_updates
        np.testing.assert_array_equal(learner.fine_tuning.online.rows(0, 35), rows)
        for name, tensor in before.tensors.items():
            torch.testing.assert_close(state.tensors[name], tensor, rtol=0.0, atol=0.0)
        act(learner, 15)
        assert learner.tally.num_lost == 0
    # The episode that both processes heard a part of is whole to neither.
    episodes = (tmp_path / "robot" / "episodes.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in episodes] == ["robot_steps", "10", "20", "30", "50"]


def test_simulators_moments_are_where_learning_goes_on(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    saved = load_learner(run[1]).state
    with living(tmp_path, *run) as learner:
        state = learner.fine_tuning.learner.state()
        prior = learner.fine_tuning.prior
    moments = [n for n in saved.tensors if n.startswith(("actor_optimizer.", "critic_optimizer."))]
    assert any(saved.tensors[name].abs().max() > 0.0 for name in moments)
    for name in moments:
        torch.testing.assert_close(state.tensors[name], saved.tensors[name], rtol=0.0, atol=0.0)
    assert prior is not None and len(prior) == 200


def test_versions_only_grow_over_processes_and_old_policy_files_go(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    versions = []
    for _ in range(2):
        with living(tmp_path, *run) as learner:
            act(learner, 25)
            for _ in range(2):
                learner.learn_while(lambda: True)
                update = learner.make_update(num_rollbacks=0)
                versions.append(update.header.version)
                OnnxPolicy.from_bytes(update.policy, TASK.fingerprint)
    assert versions == [1, 2, 3, 4]
    kept = sorted(path.stem for path in (tmp_path / "robot" / "policies").glob("*.onnx"))
    assert kept == ["00000003", "00000004"]


def test_versions_go_on_above_what_the_robot_has_taken_from_anybody(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 25)
        for taken in (41, 7):
            learner.heed(PolicyStatus(version=0, good_version=0, newest_version=taken))
        assert learner.make_update(num_rollbacks=0).header.version == 42
    with living(tmp_path, *run) as learner:
        assert learner.version == 42


def test_rollback_takes_the_learner_back_and_marks_all_that_the_bad_policy_did(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 25)
        learner.learn_while(lambda: True)
        good = learner.make_update(num_rollbacks=0).header.version
        at_good = learner.fine_tuning.learner.state()
        act(learner, 10, policy=good)
        learner.learn_while(lambda: True)
        bad = learner.make_update(num_rollbacks=0).header.version
        act(learner, 6, policy=bad)

        learner.roll_back(
            PolicyStatus(version=good, good_version=good, bad_versions=(bad,), reason="it fell")
        )
        act(learner, 4, policy=bad)  # still on their way when the status came
        act(learner, 3, policy=good)

        assert learner.paused is not None and "it fell" in learner.paused
        assert learner.learn_while(lambda: True) == 0 and not learner.has_news
        (mark,) = learner.log.marks
        assert (mark.first, mark.last, mark.kind) == (35, 44, "bad")
        now = learner.fine_tuning.learner.state()
        for name, tensor in at_good.tensors.items():
            torch.testing.assert_close(now.tensors[name], tensor, rtol=0.0, atol=0.0)
        learner.resume()
        assert learner.learn_while(lambda: True) > 0
        # Though it has made fewer updates than the one that was given up.
        assert learner.has_news


def test_learner_follows_the_robot_back_to_a_policy_of_long_ago(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 25)
        states = {}
        for _ in range(40):
            act(learner, 1)
            learner.learn_while(lambda: True)
            version = learner.make_update(num_rollbacks=0).header.version
            states[version] = learner.fine_tuning.learner.state()
            learner.heed(PolicyStatus(version=version, good_version=min(version, 3)))
        learner.roll_back(
            PolicyStatus(version=3, good_version=3, bad_versions=(version,), reason="it fell")
        )
        now = learner.fine_tuning.learner.state()
    for name, tensor in states[3].tensors.items():
        torch.testing.assert_close(now.tensors[name], tensor, rtol=0.0, atol=0.0)


def test_what_a_person_did_is_kept_once_more_and_learned_from_in_the_next_process_too(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 12)
        act(learner, 5, intervention=True)
        act(learner, 3)
        assert len(learner.demonstrations.buffer) == 5
        by_hand = learner.fine_tuning.online.rows(12, 17)
    with living(tmp_path, *run) as learner:
        assert learner.log.num_added == 20 and learner.demonstrations.log.num_added == 5
        np.testing.assert_array_equal(learner.demonstrations.buffer.rows(0, 5), by_hand)
        assert learner.fine_tuning.demonstrations is learner.demonstrations.buffer


def test_episode_that_a_person_cut_short_is_marked_from_its_first_step(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 14)
        act(learner, 1, truncated=True, aborted=True)
        (mark,) = learner.log.marks
    assert (mark.first, mark.last, mark.kind) == (10, 14, "aborted")
    rows = (tmp_path / "robot" / "episodes.csv").read_text().splitlines()[1:]
    assert [row.split(",")[5] for row in rows] == ["truncated", "aborted"]


def test_full_disk_stops_what_is_kept_and_not_what_is_learned(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 39)
        learner.learn_while(lambda: True)
        with files_limited_to(0):
            with pytest.raises(TransitionLogError, match="make room"):
                act(learner, 1)
            assert learner.fine_tuning.robot_steps == 40
            learner.learn_while(lambda: True)
            with pytest.raises(RobotFolderError, match="make room"):
                learner.make_update(num_rollbacks=0)
            assert not learner.has_news
        given_up = learner.version
        act(learner, 11)
        learner.learn_while(lambda: True)
        assert learner.make_update(num_rollbacks=0).header.version > given_up
    # The step that was lost to the disk was a step of the robot; its episode has no row.
    episodes = read_episodes(tmp_path / "robot" / "episodes.csv")
    assert [row.robot_steps for row in episodes] == [10, 20, 30, 51]


def test_policy_that_earned_most_is_kept_but_for_what_a_person_had_a_hand_in(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 30)
        learner.learn_while(lambda: True)
        best = learner.make_update(num_rollbacks=0)
        act(learner, 30, policy=1, reward=2.0)
        act(learner, 30, policy=1, reward=9.0, intervention=True)
        for policy in (2, 3, 4):
            learner.learn_while(lambda: True)
            learner.make_update(num_rollbacks=0)
            act(learner, 10, policy=policy, reward=1.5)
    assert not (tmp_path / "robot" / "policies" / "00000001.onnx").exists()
    assert (tmp_path / "robot" / "best_policy.onnx").read_bytes() == best.policy


def test_transitions_are_kept_and_updates_wait_while_the_update_is_compiled(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run, compiled=True) as learner:
        assert learner.is_compiling
        act(learner, 30)
        assert learner.log.num_added == 30
        if learner.is_compiling:  # not on a machine that has compiled before thirty steps
            assert learner.learn_while(lambda: True) == 0
        deadline_s = time.monotonic() + 300.0
        while learner.is_compiling:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        before = learner.fine_tuning.learner.state()
        assert learner.learn_while(lambda: True) == 30 and learner.has_news
        assert learner.fine_tuning.learner.num_updates == before.num_updates + 30


def test_learns_from_scratch_without_a_checkpoint(tmp_path: Path, run: tuple[Path, Path]) -> None:
    with living(tmp_path, run[0], None) as learner:
        act(learner, 30)
        assert learner.learn_while(lambda: True) == 30 and learner.has_news
        assert learner.fine_tuning.learner.config.critic_layer_norm
    with living(tmp_path, run[0], None) as learner:
        assert learner.fine_tuning.learner.num_updates == 30


def test_checkpoint_of_another_robot_or_algorithm_is_refused(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    no_rows, progress = ReplayBuffer(300, 4, 1, seed=0), Progress(values={}, arrays={})
    v1 = SACV1Learner(4, 1, SACV1Config(hidden_sizes=(8,), buffer_capacity=300), seed=0)
    save_checkpoint(tmp_path / "v1", v1, no_rows, progress)
    with (
        pytest.raises(RobotLearnerError, match="another algorithm"),
        living(tmp_path, run[0], tmp_path / "v1"),
    ):
        pass
    wide = SACLearner(5, 1, CONFIG, seed=0)
    save_checkpoint(tmp_path / "wide", wide, ReplayBuffer(300, 5, 1, seed=0), progress)
    with (
        pytest.raises(RobotLearnerError, match="obs_dim"),
        living(tmp_path / "other", run[0], tmp_path / "wide"),
    ):
        pass


def test_checkpoint_that_the_policy_was_not_exported_from_is_refused(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    later = SACLearner(4, 1, CONFIG, seed=0)
    progress = Progress(values={}, arrays={})
    save_checkpoint(tmp_path / "later", later, ReplayBuffer(300, 4, 1, seed=0), progress)
    with (
        pytest.raises(RobotLearnerError, match="does not belong to the policy"),
        living(tmp_path, run[0], tmp_path / "later"),
    ):
        pass


def test_discrete_policy_is_refused_with_and_without_a_checkpoint(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    task = load_task("inverted_pendulum_three_forces")
    obs = np.zeros((32, task.obs_dim), dtype=np.float32)
    export_policy(
        CategoricalActor("mlp", task.obs_dim, (8,), Dimensions.of(task).choices),
        task=task,
        provenance=PROVENANCE,
        obs_low=obs[0],
        obs_high=obs[0],
        golden_obs=obs,
        path=tmp_path / "discrete.onnx",
    )
    for checkpoint in (None, run[1]):
        with (
            pytest.raises(RobotLearnerError, match="chooses among the 3 commands"),
            living(tmp_path, tmp_path / "discrete.onnx", checkpoint),
        ):
            pass


def test_recorded_transitions_take_the_place_of_the_simulators(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path / "first", *run) as robot:
        act(robot, 30)
    recorded = tmp_path / "first" / "robot" / "transitions"
    with living(tmp_path / "second", *run, prior_transitions=recorded) as robot:
        prior = robot.fine_tuning.prior
        assert prior is not None and len(prior) == 30
        # The simulator's were of reward 1 too, but of other actions.
        rng = np.random.default_rng(7)
        rng.normal(0.0, 0.1, 4)
        seventh = np.float32(rng.uniform(-1.0, 1.0, 1))
        assert (prior.sample(500).action.numpy() == seventh).any()
    with living(tmp_path / "third", *run) as robot:
        assert robot.fine_tuning.prior is not None and len(robot.fine_tuning.prior) == 200


def test_folder_without_recorded_transitions_is_refused(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with (
        pytest.raises(PriorTransitionsError, match="bag-to-buffer"),
        living(tmp_path, *run, prior_transitions=tmp_path / "nothing"),
    ):
        pass


def go_on(
    learner: RobotLearner, num_policies: int, num_steps: int = 30, reward: float = 1.0
) -> None:
    """Let the robot run each policy that is made of what was learned until then."""
    for _ in range(num_policies):
        act(learner, 30, policy=learner.version, reward=reward)
        learner.learn_while(lambda: True)
        learner.make_update(num_rollbacks=0)


def mode(learner: RobotLearner) -> np.ndarray:
    """Return what the actor does at some observations."""
    obs = np.random.default_rng(3).normal(0.0, 0.1, (64, 4)).astype(np.float32)
    with torch.no_grad():
        return learner.fine_tuning.learner.actor.mode(torch.from_numpy(obs)).numpy()


def rolled_back(good: int, bad: tuple[int, ...], session: int = 5, number: int = 1) -> PolicyStatus:
    return PolicyStatus(
        session=session,
        version=good,
        good_version=good,
        newest_version=max(bad),
        num_rollbacks=number,
        is_rolled_back=True,
        bad_versions=bad,
        reason="it fell",
    )


def copy_of_killed(folder: Path) -> Path:
    """Return a copy of the robot's folder as `kill -9` would leave it at this moment."""
    shutil.copytree(folder / "robot", folder / "killed" / "robot")
    return folder / "killed"


@pytest.mark.parametrize("good", [0, 1, 2])
@pytest.mark.parametrize("saves_before", [True, False])
def test_killed_after_a_rollback_it_is_still_paused_and_at_the_last_good_weights(
    tmp_path: Path, run: tuple[Path, Path], good: int, saves_before: bool
) -> None:
    with living(tmp_path, *run) as learner:
        at = {0: mode(learner)}
        for version in range(1, 4):
            go_on(learner, 1)
            at[version] = mode(learner)
        go_on(learner, 2, reward=-5.0)
        if saves_before:
            learner.save()  # what was saved last is bad
        learner.roll_back(rolled_back(good, tuple(range(good + 1, 6))))
        np.testing.assert_allclose(mode(learner), at[good], atol=1e-6)
        killed = copy_of_killed(tmp_path)
    for folder in (killed, tmp_path):
        with living(folder, *run) as learner:
            assert learner.paused is not None and "it fell" in learner.paused
            np.testing.assert_allclose(mode(learner), at[good], atol=1e-6)
            learner.heed(rolled_back(good, tuple(range(good + 1, 6))))
            assert learner.has_followed(rolled_back(good, tuple(range(good + 1, 6))))
            learner.resume()
            assert learner.version == 5 and learner.acknowledged_rollbacks == 1
        with living(folder, *run) as learner:
            assert learner.paused is None


@pytest.mark.parametrize("good", [0, 1, 3])
def test_rollback_that_comes_after_a_kill_finds_the_good_weights(
    tmp_path: Path, run: tuple[Path, Path], good: int
) -> None:
    with living(tmp_path, *run) as learner:
        at = {0: mode(learner)}
        for version in range(1, 6):
            go_on(learner, 1)
            at[version] = mode(learner)
            learner.heed(PolicyStatus(version=version, good_version=min(version, good)))
        learner.save()
        killed = copy_of_killed(tmp_path)
    with living(killed, *run) as learner:
        act(learner, 40, policy=5)
        learner.learn_while(lambda: True)
        learner.roll_back(rolled_back(good, tuple(range(good + 1, 6))))
        np.testing.assert_allclose(mode(learner), at[good], atol=1e-6)


def test_robot_started_with_one_of_our_policies_goes_back_to_that_one(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        go_on(learner, 1)
        given, at_given = tmp_path / "robot" / "policies" / "00000001.onnx", mode(learner)
        shutil.copy(given, tmp_path / "given.onnx")
        go_on(learner, 2)
    with living(tmp_path, tmp_path / "given.onnx", run[1]) as learner:
        go_on(learner, 1)
        learner.roll_back(rolled_back(0, (4,)))
        np.testing.assert_allclose(mode(learner), at_given, atol=1e-6)


PARTS = ["actor.head.weight", "critic.", "critic_target.", "actor_optimizer.", "critic_optimizer."]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", PARTS)
def test_nothing_that_is_not_finite_is_sent_saved_or_kept(
    tmp_path: Path, run: tuple[Path, Path], part: str, value: float
) -> None:
    with living(tmp_path, *run) as learner:
        go_on(learner, 1)
        sound = mode(learner)
        act(learner, 5)
        state = learner.fine_tuning.learner.state()
        name = next(n for n, t in state.tensors.items() if n.startswith(part) and t.numel() > 1)
        state.tensors[name].view(-1)[0] = value
        learner.fine_tuning.learner.restore(state)
        with pytest.raises(DivergedError, match="not finite"):
            learner.make_update(num_rollbacks=0)
        assert learner.paused is not None and "diverged" in learner.paused
        np.testing.assert_allclose(mode(learner), sound, atol=1e-6)
        learner.fine_tuning.learner.restore(state)  # once more, before a save
        learner.save()
        assert learner.version == 1
    saved = load_learner(tmp_path / "robot" / "learner").state
    assert all(tensor.isfinite().all() for tensor in saved.tensors.values())
    with living(tmp_path, *run) as learner:
        np.testing.assert_allclose(mode(learner), sound, atol=1e-6)
        learner.resume()
        act(learner, 5)
        assert learner.learn_while(lambda: True) > 0 and learner.paused is None


def test_folder_with_a_diverged_learner_of_an_earlier_release_starts_all_the_same(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        at_start = mode(learner)
        bad = learner.fine_tuning.learner
        with torch.no_grad():
            next(bad.actor.parameters()).fill_(math.nan)
        no_rows, progress = ReplayBuffer(1, 4, 1, seed=0), Progress(values={}, arrays={})
        save_checkpoint(tmp_path / "old" / "robot" / "learner", bad, no_rows, progress)
    with living(tmp_path / "old", *run) as learner:
        np.testing.assert_allclose(mode(learner), at_start, atol=1e-6)


def test_bar_of_the_policy_that_came_survives_a_restart(
    tmp_path: Path, run: tuple[Path, Path]
) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 30, reward=9.0)
        learner.learn_while(lambda: True)
        learner.make_update(num_rollbacks=0)
    with living(tmp_path, *run) as learner:
        act(learner, 30, policy=1, reward=1.0)
        assert learner.best.version is None
        act(learner, 30, policy=1, reward=10.0)
        assert learner.best.version == 1


def test_disk_holds_a_bounded_number_of_versions(tmp_path: Path, run: tuple[Path, Path]) -> None:
    with living(tmp_path, *run) as learner:
        act(learner, 30)
        for _ in range(25):
            act(learner, 1)
            learner.learn_while(lambda: True)
            learner.make_update(num_rollbacks=0)
        kept = sorted(int(path.name) for path in (tmp_path / "robot" / "versions").iterdir())
    assert kept[0] == 0 and kept[-1] == 25 and len(kept) <= 10
