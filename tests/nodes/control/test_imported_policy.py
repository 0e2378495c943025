"""A policy that Stable-Baselines3 trained commands the robot, over DDS, what it would have."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from pendulum_robot import BY_OBSERVATION, Robot, started
from stable_baselines3 import SAC

from sac_ros.command_line import run

pytestmark = pytest.mark.ros

NEWTON_PER_CONTROL = 100.0  # the gear of Gymnasium's model: theirs is in [-3, 3], ours in N


def test_imported_policy_commands_what_their_model_does(
    robot: Robot, log: Path, tmp_path: Path
) -> None:
    model = SAC("MlpPolicy", "InvertedPendulum-v5", seed=1, device="cpu")
    model.actor.mu.weight.data *= 20.0
    model.save(tmp_path / "model.zip")
    export = ("export", "--from-sb3", str(tmp_path / "model.zip"), "--task", "inverted_pendulum")
    assert run(list(export)) == 0
    with started(tmp_path / "model.onnx", log, *BY_OBSERVATION, "task:=inverted_pendulum"):
        robot.observer.wait_until_active()
        for obs in np.random.default_rng(0).uniform(-0.15, 0.15, (5, 4)):
            theirs, _ = model.predict(obs.astype(np.float32), deterministic=True)
            robot.drive(
                NEWTON_PER_CONTROL * theirs[0],
                tolerance=1e-2,
                position=tuple(obs[:2]),
                velocity=tuple(obs[2:]),
            )
