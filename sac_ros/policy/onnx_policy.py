"""Load a policy file, refuse what cannot be trusted, and run it at control rate."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from sac_ros.policy.action_head import action_head
from sac_ros.policy.contract import (
    MAX_FILE_BYTES,
    PolicyContract,
    PolicyMismatchError,
    naming_policy_file,
    open_sealed,
    read_policy_file,
)
from sac_ros.policy.onnx_file import PolicyFileError, check_weights
from sac_ros.task.task_spec import TaskSpec

GOLDEN_TOLERANCE = 1e-4
"""Relative to the larger of 1 and the golden value: machines round float32 sums differently."""

_ONNXRUNTIME_REFUSALS = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
    UnicodeDecodeError,  # a name in the graph that is no text
)


class OnnxPolicy:
    """An exported policy: obs [O] to the parameters of a distribution, and those to an action."""

    def __init__(
        self, session: onnxruntime.InferenceSession, contract: PolicyContract, content: bytes
    ) -> None:
        self.contract = contract
        self.content = content
        """The policy file."""
        self._session = session
        self._obs = np.zeros((1, contract.task.obs_dim), dtype=np.float32)
        self._outputs = tuple(
            np.zeros((1, contract.output_width), dtype=np.float32) for _ in contract.golden.outputs
        )
        self._head = action_head(contract)
        # Bound once: onnxruntime then reads and writes these arrays without allocating.
        self._binding = session.io_binding()
        shape = self._obs.shape
        self._binding.bind_input("obs", "cpu", 0, np.float32, shape, self._obs.ctypes.data)
        for name, array in zip(contract.golden.outputs, self._outputs, strict=True):
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    @classmethod
    def load(cls, path: Path, expected_fingerprint: str | None = None) -> "OnnxPolicy":
        """Read and verify a policy file.

        Raises PolicyFileError (unreadable, damaged, oversize, non-finite, golden pairs not
        reproduced) or PolicyMismatchError (other task or schema), each naming the file.
        """
        with naming_policy_file(path):
            return cls.from_bytes(read_policy_file(path), expected_fingerprint)

    @classmethod
    def from_bytes(cls, content: bytes, expected_fingerprint: str | None = None) -> "OnnxPolicy":
        """Verify and load a policy from memory, as `load` does from a file."""
        if len(content) > MAX_FILE_BYTES:
            raise PolicyFileError(f"{len(content)} bytes, more than the {MAX_FILE_BYTES} allowed")
        contract = open_sealed(content)
        if expected_fingerprint not in (None, contract.task_fingerprint):
            raise PolicyMismatchError(
                f"it was exported for task {contract.task.name!r} with fingerprint"
                f" {contract.task_fingerprint[:12]}, but the task here has"
                f" {str(expected_fingerprint)[:12]}; export it with this task's file"
            )
        check_weights(content)
        policy = cls(_make_session(content, contract), contract, content)
        policy.check_golden_pairs()
        return policy

    @property
    def task(self) -> TaskSpec:
        """The task the policy was trained for, topics included."""
        return self.contract.task

    def distribution(self, obs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return what the graph computes for obs [O].

        Mean [A] and log_std [A] of the Gaussian before squashing; of a discrete policy the logits
        [K] of its choices.
        """
        self._infer(obs)
        return tuple(output[0].copy() for output in self._outputs)

    def mode(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the deterministic action [A] in [-1, 1]."""
        self._infer(obs)
        return self._head.mode(self._outputs)

    def sample(
        self, obs: NDArray[np.float32], rng: np.random.Generator, noise_scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Return an exploring action [A] in [-1, 1], with noise drawn from `rng`.

        `noise_scale` is a factor on the policy's own standard deviation; of a discrete policy, the
        temperature of its softmax.
        """
        self._infer(obs)
        return self._head.sample(self._outputs, rng, noise_scale)

    def _infer(self, obs: NDArray[np.float32]) -> None:
        """Fill the bound outputs."""
        self._obs[0] = obs
        self._session.run_with_iobinding(self._binding)

    def check_golden_pairs(self) -> None:
        """Raise PolicyFileError unless this machine reproduces what the trained actor computed."""
        golden = self.contract.golden
        for index, obs in enumerate(golden.obs):
            outputs = self.distribution(np.array(obs, dtype=np.float32))
            for (name, table), output in zip(golden.outputs.items(), outputs, strict=True):
                wanted = np.array(table[index])
                allowed = GOLDEN_TOLERANCE * np.maximum(1.0, np.abs(wanted))
                # `not <=` so that a NaN fails.
                if not (np.abs(output - wanted) <= allowed).all():
                    raise PolicyFileError(
                        f"golden pair {index} gives {name} {output}, expected {wanted} within"
                        f" {GOLDEN_TOLERANCE}; export again, or check this machine's onnxruntime"
                    )


def _make_session(content: bytes, contract: PolicyContract) -> onnxruntime.InferenceSession:
    """Build a single-threaded session and check that its ends fit the contract."""
    options = onnxruntime.SessionOptions()
    # More threads only add wake-up latency at this size, and spinning ones starve the node.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except _ONNXRUNTIME_REFUSALS as error:
        reason = " ".join(str(error).split())[:200]
        raise PolicyFileError(f"onnxruntime refuses the graph: {reason}") from error
    ends = {end.name: end.shape[1:] for end in (*session.get_inputs(), *session.get_outputs())}
    wanted = {
        "obs": [contract.task.obs_dim],
        **{name: [contract.output_width] for name in contract.golden.outputs},
    }
    if ends != wanted:
        raise PolicyFileError(f"the graph's inputs and outputs are {ends}, expected {wanted}")
    return session
