"""A policy file is refused unless every byte, number and promise in it holds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from linear_policy import linear_contract, linear_model, linear_policy, sealed
from onnx import numpy_helper

from sac_ros.policy import contract
from sac_ros.policy.contract import PolicyContract, PolicyMismatchError
from sac_ros.policy.onnx_file import PolicyFileError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import load_task

TASK = load_task("hopper")
GAIN = np.random.default_rng(1).standard_normal((TASK.action_dim, TASK.obs_dim))
CONTRACT = linear_contract(TASK, GAIN, log_std=-1.0)


def with_contract(change: Callable[[dict], None]) -> bytes:
    """Return a well-sealed policy whose contract was changed before sealing."""
    mapping = json.loads(CONTRACT.to_json())
    change(mapping)
    return sealed(linear_model(TASK, GAIN, -1.0), json.dumps(mapping))


def test_policy_computes_mean_and_log_std() -> None:
    policy = OnnxPolicy.from_bytes(linear_policy(TASK, GAIN, log_std=-1.0), TASK.fingerprint)
    obs = np.linspace(-1.0, 1.0, TASK.obs_dim, dtype=np.float32)
    mean, log_std = policy.distribution(obs)
    np.testing.assert_allclose(mean, GAIN @ obs, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(log_std, np.full(TASK.action_dim, -1.0))
    np.testing.assert_allclose(policy.mode(obs), np.tanh(mean), rtol=1e-6)


def test_result_is_not_overwritten_by_the_next_call() -> None:
    policy = OnnxPolicy.from_bytes(linear_policy(TASK, GAIN))
    first, _ = policy.distribution(np.ones(TASK.obs_dim, dtype=np.float32))
    kept = first.copy()
    policy.distribution(np.zeros(TASK.obs_dim, dtype=np.float32))
    np.testing.assert_array_equal(first, kept)


def test_sampled_actions_have_the_policys_spread() -> None:
    policy = OnnxPolicy.from_bytes(linear_policy(TASK, np.zeros_like(GAIN), log_std=-2.0))
    rng = np.random.default_rng(0)
    obs = np.zeros(TASK.obs_dim, dtype=np.float32)
    before_squashing = np.arctanh([policy.sample(obs, rng) for _ in range(4000)])
    assert before_squashing.std() == pytest.approx(np.exp(-2.0), rel=0.03)


def test_contract_survives_json_exactly() -> None:
    assert PolicyContract.from_json(CONTRACT.to_json()) == CONTRACT


def test_foreign_policy_is_refused_with_both_fingerprints() -> None:
    other = load_task("walker2d").fingerprint
    with pytest.raises(PolicyMismatchError) as caught:
        OnnxPolicy.from_bytes(linear_policy(TASK, GAIN), other)
    assert TASK.fingerprint[:12] in str(caught.value) and other[:12] in str(caught.value)


def test_unknown_schema_is_refused() -> None:
    content = with_contract(lambda contract: contract.update(schema_version=99))
    with pytest.raises(PolicyMismatchError, match="schema version 99"):
        OnnxPolicy.from_bytes(content)


def test_missing_channel_is_refused() -> None:
    def change(contract: dict) -> None:
        contract["task"]["termination"] = []
        contract["task"]["observation"].pop()

    with pytest.raises(PolicyFileError, match="expected 7"):
        OnnxPolicy.from_bytes(with_contract(change))


def test_fingerprint_that_is_not_the_tasks_is_refused() -> None:
    content = with_contract(lambda contract: contract.update(task_fingerprint="0" * 64))
    with pytest.raises(PolicyFileError, match="disagree"):
        OnnxPolicy.from_bytes(content)


def test_golden_pair_that_is_not_reproduced_is_refused() -> None:
    def change(contract: dict) -> None:
        contract["golden"]["mean"][5][0] += 0.01

    with pytest.raises(PolicyFileError, match="golden pair 5"):
        OnnxPolicy.from_bytes(with_contract(change))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_contract_with_a_number_that_is_not_finite_is_refused(value: float) -> None:
    def change(contract: dict) -> None:
        contract["golden"]["mean"][0][0] = value

    with pytest.raises(PolicyFileError, match="not finite"):
        OnnxPolicy.from_bytes(with_contract(change))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weight_that_is_not_finite_is_refused_by_name(value: float) -> None:
    model = linear_model(TASK, GAIN, -1.0)
    weights = GAIN.T.astype(np.float32)
    weights[3, 1] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "gain"))
    with pytest.raises(PolicyFileError, match="'gain' is not finite"):
        OnnxPolicy.from_bytes(sealed(model, CONTRACT.to_json()))


def test_weights_in_another_file_are_refused() -> None:
    model = linear_model(TASK, GAIN, -1.0)
    gain = model.graph.initializer[0]
    gain.ClearField("raw_data")
    gain.data_location = onnx.TensorProto.EXTERNAL
    gain.external_data.add(key="location", value="gain.bin")
    with pytest.raises(PolicyFileError, match="self-contained"):
        OnnxPolicy.from_bytes(sealed(model, CONTRACT.to_json()))


def test_graph_with_other_ends_is_refused() -> None:
    walker = load_task("walker2d")
    gain = np.zeros((walker.action_dim, walker.obs_dim))
    content = sealed(linear_model(walker, gain, -1.0), CONTRACT.to_json())
    with pytest.raises(PolicyFileError, match="inputs and outputs"):
        OnnxPolicy.from_bytes(content)


def test_graph_that_onnxruntime_cannot_build_is_refused() -> None:
    model = linear_model(TASK, GAIN, -1.0)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(PolicyFileError, match="onnxruntime refuses"):
        OnnxPolicy.from_bytes(sealed(model, CONTRACT.to_json()))


def test_model_without_a_contract_is_refused() -> None:
    content = linear_model(TASK, GAIN, -1.0).SerializeToString()
    with pytest.raises(PolicyFileError, match="not exported by sac_ros"):
        OnnxPolicy.from_bytes(content)


def test_oversize_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "policy.onnx"
    path.write_bytes(linear_policy(TASK, GAIN))
    with pytest.raises(PolicyFileError, match=r"policy\.onnx.*1000 allowed"):
        OnnxPolicy.load(path)


def test_missing_file_is_refused_by_name() -> None:
    with pytest.raises(PolicyFileError, match=r"/nowhere/policy\.onnx: No such file"):
        OnnxPolicy.load(Path("/nowhere/policy.onnx"))


def test_file_cut_short_anywhere_is_refused() -> None:
    content = linear_policy(TASK, GAIN)
    for length in np.random.default_rng(0).integers(0, len(content), 200):
        with pytest.raises(PolicyFileError):
            OnnxPolicy.from_bytes(content[:length])


def test_any_changed_byte_is_refused() -> None:
    content = linear_policy(TASK, GAIN)
    rng = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= int(rng.integers(1, 256))
        with pytest.raises((PolicyFileError, PolicyMismatchError)):
            OnnxPolicy.from_bytes(bytes(damaged))


def test_random_bytes_are_refused() -> None:
    rng = np.random.default_rng(0)
    for length in rng.integers(0, 400, 500):
        with pytest.raises(PolicyFileError):
            OnnxPolicy.from_bytes(rng.bytes(length))


def test_policy_for_the_same_robot_under_another_name_is_accepted() -> None:
    renamed = replace(TASK, name="my_hopper")
    assert OnnxPolicy.from_bytes(linear_policy(TASK, GAIN), renamed.fingerprint).task == TASK
