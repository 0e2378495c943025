"""Export an actor as one ONNX file with its contract, a digest and reference outputs.

Shapes: B batch, O obs_dim, A action_dim.
"""

import contextlib
import copy
import functools
import logging
import warnings
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sac_ros.atomic_write import disk_errors_as, replace_file
from sac_ros.errors import InputError
from sac_ros.policy.contract import (
    CONTRACT_KEY,
    DIGEST_KEY,
    DIGEST_PLACEHOLDER,
    SCHEMA_VERSION,
    GoldenLogits,
    GoldenPairs,
    PolicyContract,
    Provenance,
    seal,
)
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.learners.learner_protocol import Actor
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.task.task_spec import TaskSpec

# Supported by onnxruntime 1.14 and newer, so that robots with old versions can run it.
OPSET = 18


class PolicyExportError(InputError):
    """The actor cannot be exported, or the file cannot be written."""


def export_policy(
    actor: Actor,
    *,
    task: TaskSpec,
    provenance: Provenance,
    obs_low: NDArray[np.float32],
    obs_high: NDArray[np.float32],
    golden_obs: NDArray[np.float32],
    path: Path,
) -> None:
    """Write the policy file in one atomic step; arguments as for `policy_bytes`."""
    content = policy_bytes(
        actor,
        task=task,
        provenance=provenance,
        obs_low=obs_low,
        obs_high=obs_high,
        golden_obs=golden_obs,
    )
    with disk_errors_as(PolicyExportError, path):
        replace_file(path, content)


def policy_bytes(
    actor: Actor,
    *,
    task: TaskSpec,
    provenance: Provenance,
    obs_low: NDArray[np.float32],
    obs_high: NDArray[np.float32],
    golden_obs: NDArray[np.float32],
) -> bytes:
    """Return the content of a policy file; it is loaded once to check that a robot accepts it.

    `obs_low` and `obs_high` [O] are the observation range in training. The outputs at `golden_obs`
    [32, O] are stored in the file, and checked whenever a robot loads it.
    """
    # On the CPU, where policies run: a GPU may multiply in reduced precision.
    actor = copy.deepcopy(actor).cpu()
    _refuse_unfit(actor, task)
    contract = _contract(actor, task, provenance, obs_low, obs_high, golden_obs)
    model = onnx.ModelProto()
    kind = type(actor)
    model.CopyFrom(_traced_model(kind, actor.architecture))  # type: ignore[arg-type]  # classes hash
    _set_weights(model, actor)
    onnx.helper.set_model_props(
        model, {CONTRACT_KEY: contract.to_json(), DIGEST_KEY: DIGEST_PLACEHOLDER}
    )
    content = seal(model.SerializeToString())
    OnnxPolicy.from_bytes(content, task.fingerprint)
    return content


def _refuse_unfit(actor: Actor, task: TaskSpec) -> None:
    found, expected = (actor.obs_dim, actor.action_dim), (task.obs_dim, task.action_dim)
    if found != expected:
        raise PolicyExportError(
            f"the actor has (obs_dim, action_dim) {found}, task {task.name!r} has {expected};"
            " export it with the task that it was trained for"
        )
    for name, weight in actor.state_dict().items():
        if not weight.isfinite().all():
            raise PolicyExportError(
                f"weight {name!r} of the actor is not finite: training has diverged; export from"
                " an earlier checkpoint"
            )


def _contract(
    actor: Actor,
    task: TaskSpec,
    provenance: Provenance,
    obs_low: NDArray[np.float32],
    obs_high: NDArray[np.float32],
    golden_obs: NDArray[np.float32],
) -> PolicyContract:
    with torch.no_grad():
        golden = _golden(actor, golden_obs)
    try:
        return PolicyContract(
            schema_version=SCHEMA_VERSION,
            task=task,
            task_fingerprint=task.fingerprint,
            obs_low=tuple(obs_low.tolist()),
            obs_high=tuple(obs_high.tolist()),
            provenance=provenance,
            golden=golden,
        )
    except ValueError as error:
        raise PolicyExportError(f"cannot make the policy's contract: {error}") from error


def _golden(actor: Actor, obs: NDArray[np.float32]) -> GoldenPairs | GoldenLogits:
    if isinstance(actor, CategoricalActor):
        return GoldenLogits(obs=_rows(obs), logits=_rows(actor(torch.from_numpy(obs)).numpy()))
    mean, log_std = actor(torch.from_numpy(obs))
    return GoldenPairs(obs=_rows(obs), mean=_rows(mean.numpy()), log_std=_rows(log_std.numpy()))


def _rows(table: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


# Tracing takes over a second, and a learner on a robot exports every few seconds. The graph depends
# only on the architecture, so it is traced once; later exports replace the weights.
@functools.lru_cache(maxsize=8)
def _traced_model(kind: type[Actor], architecture: Hashable) -> onnx.ModelProto:
    """Return the ONNX graph of an actor with random placeholder weights.

    obs [B, O] -> mean [B, A], log_std [B, A], or -> logits [B, K] of a discrete policy.
    """
    # Random weights: the exporter merges equal tensors, for example two zero biases.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        actor = kind(*cast(tuple[Any, ...], architecture)).eval()
        for parameter in actor.parameters():
            parameter.normal_()
    with _quiet_exporter():
        program = torch.onnx.export(
            actor,
            (torch.zeros(2, actor.obs_dim),),
            dynamo=True,
            input_names=["obs"],
            output_names=list(actor.outputs),
            dynamic_shapes=({0: torch.export.Dim("B")},),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip_tracing_notes(model)
    return model


def _set_weights(model: onnx.ModelProto, actor: Actor) -> None:
    # Without the choices of a discrete actor: they are in the contract's task.
    weights = {name: weight.detach() for name, weight in actor.named_parameters()}
    for tensor in model.graph.initializer:
        if (weight := weights.pop(tensor.name, None)) is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weight.numpy(), tensor.name))
    assert not weights, f"the traced graph lacks {sorted(weights)}"


def _strip_tracing_notes(model: onnx.ModelProto) -> None:
    """Remove the stack traces of all nodes: they name local folders and enlarge the file."""
    graph = model.graph
    del graph.value_info[:]
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's log lines and warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # hides four lines about torchvision operators, unused here
    try:
        with warnings.catch_warnings():
            # torch itself uses its deprecated class while it copies the exported program.
            warnings.filterwarnings(
                "ignore", message=r".*isinstance\(treespec, LeafSpec\)", category=FutureWarning
            )
            yield
    finally:
        logger.setLevel(level)
