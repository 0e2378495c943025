"""A pendulum that the test plays, and a policy for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # without ROS the tests here are skipped, not broken
    from pendulum_robot import Robot


@pytest.fixture
def robot() -> Iterator["Robot"]:
    from pendulum_robot import Robot
    from ros_processes import observing

    with observing() as observer:
        yield Robot(observer)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    from pendulum_robot import write_pendulum_policy

    return write_pendulum_policy(tmp_path / "policy.onnx")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "policy_node.log"
