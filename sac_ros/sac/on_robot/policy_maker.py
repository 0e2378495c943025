"""Policy files of a learner on a robot, each with its contract and where it came from.

Shapes: O obs_dim, 32 golden observations.
"""

import contextlib
import importlib.metadata
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS, PolicyContract, Provenance
from sac_ros.sac.checkpoints.onnx_export import policy_bytes
from sac_ros.sac.on_robot.fine_tuning import FineTuning
from sac_ros.sac.on_robot.robot_memory import RobotMemory

PACKAGES = ("sac_ros", "torch", "numpy", "onnx", "onnxruntime")


class PolicyMaker:
    """Exports actors for the task of one contract."""

    def __init__(self, contract: PolicyContract, folder: Path, seed: int) -> None:
        self._contract = contract
        self._folder = folder
        self._seed = seed

    def export(self, tuning: FineTuning, memory: RobotMemory) -> bytes:
        """Return the actor as a policy file; raise PolicyExportError or another InputError."""
        if len(memory.buffer) > 0:
            golden_obs = memory.buffer.sample(NUM_GOLDEN_PAIRS).obs.numpy()
        else:
            golden_obs = np.array(self._contract.golden.obs, dtype=np.float32)
        return policy_bytes(
            tuning.learner.actor,
            task=self._contract.task,
            provenance=self._provenance(tuning.robot_steps),
            obs_low=memory.obs_low,
            obs_high=memory.obs_high,
            golden_obs=golden_obs,
        )

    def _provenance(self, robot_steps: int) -> Provenance:
        before = self._contract.provenance
        versions = {}
        for package in PACKAGES:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        return Provenance(
            algorithm=f"{before.algorithm}, fine-tuned on the robot",
            seed=self._seed,
            steps=before.steps + robot_steps,
            command=f"{before.command} && learner_node in {self._folder}",
            git_commit=before.git_commit,
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            packages=versions,
        )
