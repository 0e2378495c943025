"""Policies made by hand, without training: mean = obs @ gain.T + bias."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sac_ros.policy.contract import (
    CONTRACT_KEY,
    DIGEST_KEY,
    DIGEST_PLACEHOLDER,
    NUM_GOLDEN_PAIRS,
    SCHEMA_VERSION,
    GoldenPairs,
    PolicyContract,
    Provenance,
    seal,
)
from sac_ros.task.task_spec import TaskSpec

PROVENANCE = Provenance(
    algorithm="by hand",
    seed=0,
    steps=0,
    command="tests/linear_policy.py",
    git_commit="unknown",
    created_utc="2026-01-01T00:00:00Z",
    packages={},
)

# Found by linear-quadratic regulation of the linearised cart and pole; action is force / 300 N.
BALANCING_GAIN = np.array([[0.3, 4.0, 0.4, 0.8]])


def linear_contract(task: TaskSpec, gain: NDArray[np.float64], log_std: float) -> PolicyContract:
    """Return the contract of mean = obs @ gain.T, with golden pairs that are true."""
    obs = np.random.default_rng(0).standard_normal((NUM_GOLDEN_PAIRS, task.obs_dim))
    obs = obs.astype(np.float32).astype(np.float64)
    mean = obs @ gain.astype(np.float32).astype(np.float64).T
    return PolicyContract(
        schema_version=SCHEMA_VERSION,
        task=task,
        task_fingerprint=task.fingerprint,
        obs_low=tuple(obs.min(axis=0)),
        obs_high=tuple(obs.max(axis=0)),
        provenance=PROVENANCE,
        golden=GoldenPairs(
            obs=tuple(map(tuple, obs)),
            mean=tuple(map(tuple, mean)),
            log_std=tuple((log_std,) * task.action_dim for _ in obs),
        ),
    )


def linear_model(task: TaskSpec, gain: NDArray[np.float64], log_std: float) -> onnx.ModelProto:
    """Return the graph, without metadata."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["obs", "gain"], ["mean"]),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "log_std_value"], ["log_std"]),
        ],
        "linear",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["B", task.obs_dim])],
        [
            helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["B", task.action_dim]),
            helper.make_tensor_value_info("log_std", TensorProto.FLOAT, ["B", task.action_dim]),
        ],
        [
            numpy_helper.from_array(gain.T.astype(np.float32), "gain"),
            numpy_helper.from_array(np.zeros(task.action_dim, np.float32), "zero"),
            numpy_helper.from_array(np.full(task.action_dim, log_std, np.float32), "log_std_value"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def sealed(model: onnx.ModelProto, contract_json: str) -> bytes:
    """Return the model's bytes with contract and digest."""
    helper.set_model_props(model, {CONTRACT_KEY: contract_json, DIGEST_KEY: DIGEST_PLACEHOLDER})
    return seal(model.SerializeToString())


def linear_policy(
    task: TaskSpec, gain: NDArray[np.float64] | None = None, log_std: float = -3.0
) -> bytes:
    """Return a policy file's content; without a gain, one that always asks for the middle."""
    if gain is None:
        gain = np.zeros((task.action_dim, task.obs_dim))
    contract = linear_contract(task, gain, log_std)
    return sealed(linear_model(task, gain, log_std), contract.to_json())


def write_linear_policy(
    path: Path, task: TaskSpec, gain: NDArray[np.float64] | None = None, log_std: float = -3.0
) -> Path:
    """Write such a policy and return its path."""
    path.write_bytes(linear_policy(task, gain, log_std))
    return path
