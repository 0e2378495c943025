import json
import os
import stat
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from source_tree import ROOT

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS, Provenance
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.checkpoints import onnx_export
from sac_ros.sac.checkpoints.onnx_export import (
    OPSET,
    PolicyExportError,
    export_policy,
    policy_bytes,
)
from sac_ros.sac.learners.algorithms import Dimensions
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.sac.networks.networks import LOG_STD_MAX, LOG_STD_MIN, SquashedGaussianActor
from sac_ros.task.task_spec import TaskSpec, load_task

PROVENANCE = Provenance(
    algorithm="SAC",
    seed=3,
    steps=1000,
    command="sac-ros train",
    git_commit="unknown",
    created_utc="2026-01-01T00:00:00Z",
    packages={"torch": torch.__version__},
)


@pytest.fixture(scope="module")
def task() -> TaskSpec:
    return load_task("half_cheetah")


def make_actor(task: TaskSpec, gain: float = 1.0) -> SquashedGaussianActor:
    torch.manual_seed(0)
    actor = SquashedGaussianActor(task.obs_dim, task.action_dim, (32, 32))
    # A trained actor is not as tame as a new one: larger outputs, log_std at its bounds.
    actor.head.weight.data *= gain
    return actor


def observations(task: TaskSpec, count: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (3.0 * rng.standard_normal((count, task.obs_dim))).astype(np.float32)


def export(actor: SquashedGaussianActor, task: TaskSpec) -> bytes:
    return policy_bytes(
        actor,
        task=task,
        provenance=PROVENANCE,
        obs_low=np.full(task.obs_dim, -9.0, np.float32),
        obs_high=np.full(task.obs_dim, 9.0, np.float32),
        golden_obs=observations(task, NUM_GOLDEN_PAIRS),
    )


@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_exported_policy_equals_the_actor(task: TaskSpec, gain: float) -> None:
    """Within 1e-5, or 1e-5 of the output's size where float32 resolves no better."""
    actor, obs = make_actor(task, gain), observations(task, 1000)
    content = export(actor, task)

    with torch.no_grad():
        mean, log_std = (tensor.numpy() for tensor in actor(torch.from_numpy(obs)))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    batch_mean, batch_log_std = session.run(["mean", "log_std"], {"obs": obs})
    policy = OnnxPolicy.from_bytes(content)
    single = [policy.distribution(row) for row in obs]

    tolerance = 1e-5 * gain
    np.testing.assert_allclose(batch_mean, mean, rtol=0.0, atol=tolerance)
    np.testing.assert_allclose(batch_log_std, log_std, rtol=0.0, atol=tolerance)
    np.testing.assert_allclose([row[0] for row in single], mean, rtol=0.0, atol=tolerance)
    np.testing.assert_allclose([row[1] for row in single], log_std, rtol=0.0, atol=tolerance)
    if gain > 1.0:
        assert (log_std.min(), log_std.max()) == (LOG_STD_MIN, LOG_STD_MAX)


def test_policy_acts_as_the_actors_mode(task: TaskSpec) -> None:
    actor, obs = make_actor(task), observations(task, 20)
    policy = OnnxPolicy.from_bytes(export(actor, task))

    with torch.no_grad():
        expected = actor.mode(torch.from_numpy(obs)).numpy()

    np.testing.assert_allclose([policy.mode(row) for row in obs], expected, rtol=0.0, atol=1e-5)


def test_second_export_carries_the_weights_of_its_own_actor(task: TaskSpec) -> None:
    first = make_actor(task)
    first_content = export(first, task)
    second = make_actor(task)
    for parameter in second.parameters():
        parameter.data += 0.1

    mine = OnnxPolicy.from_bytes(export(second, task))
    again = export(first, task)

    obs = observations(task, 1)
    expected = second(torch.from_numpy(obs))[0].detach().numpy()[0]
    np.testing.assert_allclose(mine.distribution(obs[0])[0], expected, rtol=0.0, atol=1e-5)
    assert again == first_content


def test_an_architecture_is_traced_once(task: TaskSpec) -> None:
    actor = make_actor(task)
    export(actor, task)
    traced = onnx_export._traced_model.cache_info().misses

    export(actor, task)

    assert onnx_export._traced_model.cache_info().misses == traced


def test_contract_tells_where_the_policy_came_from(task: TaskSpec) -> None:
    contract = OnnxPolicy.from_bytes(export(make_actor(task), task)).contract

    assert contract.task == task
    assert contract.provenance == PROVENANCE
    assert contract.obs_low == (-9.0,) * task.obs_dim
    assert np.array_equal(np.float32(contract.golden.obs), observations(task, NUM_GOLDEN_PAIRS))


def test_file_is_self_contained_pinned_and_names_no_folder_of_this_machine(
    task: TaskSpec, tmp_path: Path
) -> None:
    content = export(make_actor(task), task)
    model = onnx.load_model_from_string(content)

    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert {entry.key for entry in model.metadata_props} == {"sac_ros", "sac_ros_sha256"}
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert os.fsencode(Path(torch.__file__).parent) not in content
    assert os.fsencode(ROOT) not in content


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weight_is_refused_by_name(task: TaskSpec, value: float) -> None:
    actor = make_actor(task)
    actor.trunk[2].bias.data[5] = value

    with pytest.raises(PolicyExportError, match=r"weight 'trunk\.2\.bias' of the actor is not"):
        export(actor, task)


def test_actor_of_another_task_is_refused(task: TaskSpec) -> None:
    with pytest.raises(PolicyExportError, match="task 'hopper' has"):
        export(make_actor(task), load_task("hopper"))


def test_contract_without_a_finite_observation_range_is_refused(task: TaskSpec) -> None:
    with pytest.raises(PolicyExportError, match="obs_low is not finite"):
        policy_bytes(
            make_actor(task),
            task=task,
            provenance=PROVENANCE,
            obs_low=np.full(task.obs_dim, -np.inf, np.float32),
            obs_high=np.full(task.obs_dim, 9.0, np.float32),
            golden_obs=observations(task, NUM_GOLDEN_PAIRS),
        )


def test_export_is_silent(task: TaskSpec, capfd: pytest.CaptureFixture[str]) -> None:
    # A width of its own, so that it is traced here and not taken from an earlier test.
    export(SquashedGaussianActor(task.obs_dim, task.action_dim, (11,)), task)

    assert capfd.readouterr() == ("", "")


def test_tracing_leaves_the_global_stream_alone(task: TaskSpec) -> None:
    actor = SquashedGaussianActor(task.obs_dim, task.action_dim, (13,))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)

    export(actor, task)

    assert torch.rand(1) == expected


def write(actor: SquashedGaussianActor, task: TaskSpec, path: Path) -> None:
    export_policy(
        actor,
        task=task,
        provenance=PROVENANCE,
        obs_low=np.full(task.obs_dim, -9.0, np.float32),
        obs_high=np.full(task.obs_dim, 9.0, np.float32),
        golden_obs=observations(task, NUM_GOLDEN_PAIRS),
        path=path,
    )


def test_written_file_replaces_the_old_one_and_others_may_read_it(
    task: TaskSpec, tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"old")

    write(make_actor(task), task, path)

    assert OnnxPolicy.load(path, task.fingerprint).task == task
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert os.listdir(tmp_path) == ["policy.onnx"]


def test_refused_export_leaves_the_old_file(task: TaskSpec, tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    write(make_actor(task), task, path)
    before = path.read_bytes()
    actor = make_actor(task)
    actor.head.weight.data[0] = float("nan")

    with pytest.raises(PolicyExportError):
        write(actor, task, path)

    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["policy.onnx"]


def test_folder_that_is_missing_is_refused_by_name(task: TaskSpec, tmp_path: Path) -> None:
    with pytest.raises(PolicyExportError, match=r"cannot write .*missing/policy\.onnx"):
        write(make_actor(task), task, tmp_path / "missing" / "policy.onnx")


def test_golden_pairs_keep_full_precision(task: TaskSpec) -> None:
    model = onnx.load_model_from_string(export(make_actor(task), task))
    contract = json.loads({e.key: e.value for e in model.metadata_props}["sac_ros"])

    obs = np.array(contract["golden"]["obs"])

    assert np.array_equal(obs, observations(task, NUM_GOLDEN_PAIRS).astype(np.float64))


@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_exported_discrete_policy_equals_the_actor(gain: float) -> None:
    """Within 1e-5 of the logits' size, and in every choice but where two logits tie."""
    task = load_task("inverted_pendulum_three_forces")
    choices = Dimensions.of(task).choices
    assert choices is not None
    torch.manual_seed(0)
    actor = CategoricalActor("mlp", task.obs_dim, (32, 32), choices)
    actor.layers[-1].weight.data *= gain
    obs = observations(task, 200)

    policy = OnnxPolicy.from_bytes(export(actor, task))

    with torch.no_grad():
        logits, action = actor(torch.from_numpy(obs)).numpy(), actor.mode(torch.from_numpy(obs))
    ours = np.stack([policy.distribution(row)[0] for row in obs])
    np.testing.assert_allclose(ours, logits, rtol=0.0, atol=1e-5 * np.abs(logits).max())
    np.testing.assert_allclose([policy.mode(row) for row in obs], action.numpy(), atol=1e-6)
    assert len(np.unique(action.numpy())) == 3


def test_drawn_choices_of_an_exported_policy_have_the_actors_probabilities() -> None:
    task = load_task("inverted_pendulum_three_forces")
    torch.manual_seed(0)
    actor = CategoricalActor("mlp", task.obs_dim, (32,), Dimensions.of(task).choices)
    policy, obs = OnnxPolicy.from_bytes(export(actor, task)), observations(task, 1)[0]
    rng = np.random.default_rng(0)

    drawn = np.array([policy.sample(obs, rng)[0] for _ in range(5000)])

    expected = torch.softmax(actor(torch.from_numpy(obs)), dim=-1).detach().numpy()
    share = [(np.abs(drawn - choice) < 1e-9).mean() for (choice,) in Dimensions.of(task).choices]
    np.testing.assert_allclose(share, expected, atol=0.03)
    assert sum(share) == 1.0


def test_gaussian_policy_of_a_task_with_choices_is_refused() -> None:
    task = load_task("inverted_pendulum_three_forces")

    with pytest.raises(PolicyExportError, match="the task has choices"):
        export(make_actor(task), task)


def test_discrete_policy_of_a_task_without_choices_is_refused() -> None:
    task = load_task("inverted_pendulum")

    with pytest.raises(PolicyExportError, match="no choices"):
        export(CategoricalActor("mlp", task.obs_dim, (8,), ((-1.0,), (1.0,))), task)
