"""A discrete policy on the node: what it commands is one of the task's choices."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy")

from pendulum_robot import BY_OBSERVATION, Robot, started

from sac_ros.policy.contract import Provenance
from sac_ros.sac.checkpoints.onnx_export import export_policy
from sac_ros.sac.learners.algorithms import Dimensions
from sac_ros.sac.networks.discrete_networks import CategoricalActor
from sac_ros.task.task_spec import load_task

pytestmark = pytest.mark.ros

TASK = load_task("inverted_pendulum_three_forces")
PROVENANCE = Provenance(
    algorithm="by hand",
    seed=0,
    steps=0,
    command="tests/nodes/control/test_discrete_policy.py",
    git_commit="unknown",
    created_utc="2026-01-01T00:00:00Z",
    packages={},
)


def write_policy(path: Path) -> None:
    """Write a policy that pushes against the pole's velocity, and lets go when it is slow."""
    choices = Dimensions.of(TASK).choices
    assert choices is not None
    actor = CategoricalActor("mlp", TASK.obs_dim, (2,), choices)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
        actor.layers[0].weight[:, 3] = torch.tensor([1.0, -1.0])
        actor.layers[2].weight[:] = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
        actor.layers[2].bias[1] = 0.1
    obs = np.random.default_rng(0).standard_normal((32, TASK.obs_dim)).astype(np.float32)
    export_policy(
        actor,
        task=TASK,
        provenance=PROVENANCE,
        obs_low=obs.min(axis=0),
        obs_high=obs.max(axis=0),
        golden_obs=obs,
        path=path,
    )


def test_node_commands_the_force_of_the_likeliest_choice(
    robot: Robot, log: Path, tmp_path: Path
) -> None:
    write_policy(tmp_path / "policy.onnx")
    with started(tmp_path / "policy.onnx", log, *BY_OBSERVATION, f"task:={TASK.name}"):
        robot.observer.wait_until_active()
        for pole_velocity, force_n in ((1.0, 50.0), (-1.0, -50.0), (0.02, 0.0), (0.3, 50.0)):
            robot.drive(force_n, tolerance=1e-9, velocity=(0.0, pole_velocity))
            assert {round(force, 9) for (force,) in robot.commands} <= {-50.0, 0.0, 50.0}
