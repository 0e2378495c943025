"""When a learner on a robot takes which update on which transitions."""

import math
from dataclasses import fields, replace
from itertools import count

import numpy as np
import pytest
import torch
from source_tree import ROOT

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner, SACMetrics
from sac_ros.sac.on_robot.fine_tuning import DivergedError, FineTuning, Phase, adapted_state
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.replay.replay_buffer import Batch, ReplayBuffer
from sac_ros.task.strict_yaml import read_mapping, read_yaml
from sac_ros.task.transition import Transition

SAC = SACConfig(hidden_sizes=(8,), batch_size=32, buffer_capacity=1000)
QUICK = FineTuningConfig(warmup_steps=10, critic_steps=10, prior_anneal_steps=100, batch_size=32)
FROM_PRIOR, FROM_ROBOT, FROM_PERSON = 1.0, 0.0, 2.0


def transition(number: int, reward: float = FROM_ROBOT) -> Transition:
    rng = np.random.default_rng(number)
    return Transition(
        episode=0,
        step=number,
        obs=rng.standard_normal(3).astype(np.float32),
        action=rng.uniform(-1.0, 1.0, 2),
        reward=reward,
        next_obs=rng.standard_normal(3).astype(np.float32),
        terminated=False,
        truncated=False,
    )


def fine_tuning(config: FineTuningConfig = QUICK, with_prior: bool = False) -> FineTuning:
    prior = None
    if with_prior:
        prior = ReplayBuffer(100, 3, 2, seed=1)
        rng = np.random.default_rng(5)
        prior.add(
            rng.standard_normal((50, 3)),
            rng.uniform(-1.0, 1.0, (50, 2)),
            np.full(50, FROM_PRIOR),
            rng.standard_normal((50, 3)),
            np.zeros(50, dtype=bool),
            np.zeros(50, dtype=bool),
        )
    learner = SACLearner(3, 2, config.learner_config(SAC), seed=0)
    return FineTuning(learner, config, ReplayBuffer(1000, 3, 2, seed=0), prior)


def add(tuning: FineTuning, num_steps: int) -> None:
    for number in range(num_steps):
        tuning.add(transition(tuning.robot_steps + number))


def weights(tuning: FineTuning, part: str) -> torch.Tensor:
    tensors = tuning.learner.state().tensors
    return torch.cat([t.flatten() for name, t in tensors.items() if name.startswith(f"{part}.")])


def test_file_of_the_recipe_names_every_setting_with_its_default() -> None:
    path = ROOT / "config" / "fine_tuning.yaml"
    assert read_yaml(path, FineTuningConfig) == FineTuningConfig()
    assert set(read_mapping(path)) == {field.name for field in fields(FineTuningConfig)}


def test_nothing_is_learned_in_the_warm_up_and_its_updates_are_made_up_for() -> None:
    tuning = fine_tuning()
    add(tuning, 9)
    assert tuning.phase is Phase.WARM_UP
    assert tuning.update_while(lambda: True) == 0 and tuning.updates_owed == 9
    add(tuning, 3)
    assert tuning.update_while(lambda: True) == 12 and tuning.updates_owed == 0


def test_actor_waits_for_the_critics_and_then_learns() -> None:
    tuning = fine_tuning()
    actor, critic = weights(tuning, "actor"), weights(tuning, "critic")
    add(tuning, 15)
    tuning.update_while(lambda: True)
    assert tuning.phase is Phase.CRITIC
    torch.testing.assert_close(weights(tuning, "actor"), actor, rtol=0.0, atol=1e-7)
    assert (weights(tuning, "critic") - critic).abs().max() > 1e-4

    add(tuning, 10)
    tuning.update_while(lambda: True)
    assert tuning.phase is Phase.TUNING
    assert (weights(tuning, "actor") - actor).abs().max() > 1e-4


def test_share_of_the_prior_falls_while_the_robot_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(QUICK, warmup_steps=0, critic_steps=0, prior_share=0.5)
    tuning = fine_tuning(config, with_prior=True)
    rewards: list[float] = []
    update = tuning.learner.update

    def recorded(batch: Batch) -> SACMetrics:
        rewards.append(float(batch.reward.mean()))
        return update(batch)

    monkeypatch.setattr(tuning.learner, "update", recorded)
    for _ in range(100):
        add(tuning, 1)
        tuning.update_while(lambda: True)

    shares = np.array(rewards)
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[49] == pytest.approx(0.25, abs=0.03)
    assert shares[-1] == 0.0 and (np.diff(shares) <= 0.0).all()


@pytest.mark.parametrize(("num_shown", "expected"), [(0, 0), (3, 3), (16, 16), (100, 16)])
def test_demonstrations_have_their_share_of_each_batch_and_none_is_learned_by_heart(
    monkeypatch: pytest.MonkeyPatch, num_shown: int, expected: int
) -> None:
    config = replace(
        QUICK, warmup_steps=0, critic_steps=0, demonstration_share=0.5, prior_share=0.25
    )
    tuning = fine_tuning(config, with_prior=True)
    tuning.demonstrations = ReplayBuffer(1000, 3, 2, seed=2)
    for number in range(num_shown):
        shown = transition(number, reward=FROM_PERSON)
        tuning.demonstrations.add(
            shown.obs[None], shown.action[None], [shown.reward], shown.next_obs[None], [0], [0]
        )
    batches: list[Batch] = []
    update = tuning.learner.update

    def recorded(batch: Batch) -> SACMetrics:
        batches.append(batch)
        return update(batch)

    monkeypatch.setattr(tuning.learner, "update", recorded)
    add(tuning, 1)
    tuning.update_while(lambda: True)

    (batch,) = batches
    assert len(batch.reward) == config.batch_size
    assert int((batch.reward == FROM_PERSON).sum()) == expected
    rest = config.batch_size - expected
    assert int((batch.reward == FROM_PRIOR).sum()) == pytest.approx(0.25 * rest, abs=1.0)


def test_updates_beyond_what_may_be_owed_are_dropped_and_counted() -> None:
    tuning = fine_tuning(replace(QUICK, utd_ratio=3.0, max_updates_owed=20))
    add(tuning, 10)
    assert tuning.updates_owed == 20 and tuning.num_dropped == 10


@pytest.mark.parametrize("utd_ratio", [0.1, 0.25, 0.7, 1.0, 2.5])
def test_each_dropped_update_is_counted_once_whatever_the_ratio(utd_ratio: float) -> None:
    tuning = fine_tuning(replace(QUICK, utd_ratio=utd_ratio, max_updates_owed=5))
    add(tuning, 90)
    assert tuning.num_dropped + tuning.updates_owed == round(90 * utd_ratio)


def test_updates_stop_when_time_is_up_and_go_on_later() -> None:
    tuning = fine_tuning()
    add(tuning, 30)
    turns = count()
    assert tuning.update_while(lambda: next(turns) < 4) == 5
    assert tuning.updates_owed == 25


def test_steps_of_earlier_sessions_owe_nothing_and_count_for_the_phase() -> None:
    tuning = fine_tuning()
    tuning.count_earlier(100)
    assert tuning.phase is Phase.TUNING and tuning.updates_owed == 0


def test_diverging_learner_is_noticed_and_can_be_taken_back() -> None:
    tuning = fine_tuning(replace(QUICK, critic_steps=0))
    sound = tuning.learner.state()
    broken = {
        name: tensor * math.nan
        for name, tensor in sound.tensors.items()
        if name.startswith("critic.")
    }
    tuning.learner.restore(replace(sound, tensors={**sound.tensors, **broken}))
    add(tuning, 12)
    with pytest.raises(DivergedError):
        tuning.update_while(lambda: True)

    tuning.restore(sound)
    add(tuning, 1)
    assert tuning.update_while(lambda: True) == 1


def test_start_from_the_simulator_keeps_all_but_the_temperature() -> None:
    learner = SACLearner(3, 2, SAC, seed=0)
    tuning = FineTuning(learner, QUICK, ReplayBuffer(100, 3, 2, seed=0), None)
    add(tuning, 30)
    tuning.update_while(lambda: True)
    before = tuning.learner.state()

    after = adapted_state(before, alpha=0.01)

    assert after.tensors["log_alpha"].exp().item() == pytest.approx(0.01)
    for name, tensor in before.tensors.items():
        if name == "log_alpha" or name.startswith("alpha_optimizer."):
            continue
        torch.testing.assert_close(after.tensors[name], tensor, rtol=0.0, atol=0.0)
    assert any(name.startswith("actor_optimizer.") for name in before.tensors)
    restored = SACLearner(3, 2, QUICK.learner_config(SAC), seed=1)
    restored.restore(after)
    assert restored.alpha.item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("utd_ratio", 0.0),
        ("prior_share", 1.5),
        ("demonstration_share", -0.1),
        ("warmup_steps", -1),
        ("alpha", 0.0),
    ],
)
def test_bad_setting_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(QUICK, **{name: value})
