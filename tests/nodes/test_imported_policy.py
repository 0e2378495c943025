"""A policy that Stable-Baselines3 trained commands the robot, over DDS, what it would have."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from ros_processes import NodeProcess, observing
from sensor_msgs.msg import JointState
from stable_baselines3 import SAC
from std_msgs.msg import Float64MultiArray

from sac_ros.command_line import run

pytestmark = pytest.mark.ros

NEWTON_PER_CONTROL = 100.0  # the gear of Gymnasium's model: theirs is in [-3, 3], ours in N


def test_imported_policy_commands_what_their_model_does(tmp_path: Path) -> None:
    model = SAC("MlpPolicy", "InvertedPendulum-v5", seed=1, device="cpu")
    model.actor.mu.weight.data *= 20.0
    model.save(tmp_path / "model.zip")
    export = ("export", "--from-sb3", str(tmp_path / "model.zip"), "--task", "inverted_pendulum")
    assert run(list(export)) == 0
    commands: list[float] = []
    with (
        observing() as observer,
        NodeProcess(
            "policy_node",
            f"policy:={tmp_path / 'model.onnx'}",
            "task:=inverted_pendulum",
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
        for position, angle, velocity, pole_velocity in np.random.default_rng(0).uniform(
            -0.15, 0.15, (5, 4)
        ):
            obs = np.array([position, angle, velocity, pole_velocity], np.float32)
            theirs, _ = model.predict(obs, deterministic=True)
            message = JointState(
                name=["hinge", "slider"],
                position=[angle, position],
                velocity=[pole_velocity, velocity],
            )

            def commanded(
                message: JointState = message, wanted: float = NEWTON_PER_CONTROL * theirs[0]
            ) -> bool:
                publisher.publish(message)
                return bool(commands) and abs(commands[-1] - wanted) < 1e-2

            observer.wait_until(commanded, f"their command, {theirs[0]}")
