"""A discrete policy on the node: what it commands is one of the task's choices."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy")

from ros_processes import NodeProcess, observing
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sac_ros.policy.contract import Provenance
from sac_ros.sac.algorithms import Dimensions
from sac_ros.sac.discrete_networks import CategoricalActor
from sac_ros.sac.onnx_export import export_policy
from sac_ros.task.task_spec import load_task

pytestmark = pytest.mark.ros

TASK = load_task("inverted_pendulum_three_forces")
PROVENANCE = Provenance(
    algorithm="by hand",
    seed=0,
    steps=0,
    command="tests/nodes/test_discrete_policy.py",
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


def test_node_commands_the_force_of_the_likeliest_choice(tmp_path: Path) -> None:
    write_policy(tmp_path / "policy.onnx")
    commands: list[float] = []
    with (
        observing() as observer,
        NodeProcess(
            "policy_node",
            f"policy:={tmp_path / 'policy.onnx'}",
            "task:=inverted_pendulum_three_forces",
            "act_on:=observation",
            "autostart:=true",
            "max_age_s:=5.0",  # a pause of this machine is no fault of a sensor
            log=tmp_path / "policy_node.log",
        ),
    ):
        node = observer.node
        node.create_subscription(
            Float64MultiArray, "joint_commands", lambda m: commands.append(m.data[0]), 10
        )
        publisher = node.create_publisher(JointState, "joint_states", 10)
        observer.wait_until_active()
        for pole_velocity, force_n in ((1.0, 50.0), (-1.0, -50.0), (0.02, 0.0), (0.3, 50.0)):
            message = JointState(
                name=["slider", "hinge"], position=[0.0, 0.0], velocity=[0.0, pole_velocity]
            )

            def commanded(message: JointState = message, force_n: float = force_n) -> bool:
                publisher.publish(message)
                return bool(commands) and commands[-1] == pytest.approx(force_n, abs=1e-9)

            observer.wait_until(commanded, f"{force_n} N")
    assert set(np.round(commands, 9)) == {-50.0, 0.0, 50.0}
