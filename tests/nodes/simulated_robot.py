"""The robot of a task in simulation and the policy node on it, as processes over DDS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from ros_processes import NodeProcess

from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import TaskSpec


class SimulatedRobot:
    """Starts the robot, and policy nodes that run episodes on it."""

    def __init__(
        self, folder: Path, task: TaskSpec, policy: Path, real_time_factor: float = 2.0
    ) -> None:
        self.folder, self.policy = folder, policy
        self.task = folder / "task.yaml"
        self.task.write_text(yaml.safe_dump(to_mapping(task)))
        self._real_time_factor = real_time_factor
        self._num_policy_nodes = 0

    def robot(self) -> NodeProcess:
        """Start the robot."""
        return NodeProcess(
            "sim_robot_node",
            *(f"task:={self.task}", f"real_time_factor:={self._real_time_factor}"),
            log=self.folder / "robot.log",
        )

    def policy_node(self, *parameters: str) -> NodeProcess:
        """Start a policy node, with a log of its own."""
        self._num_policy_nodes += 1
        return NodeProcess(
            "policy_node",
            *(f"policy:={self.policy}", f"task:={self.task}", "run:=episodes", "autostart:=true"),
            *("use_sim_time:=true", "max_age_s:=2.0", "reset_settle_s:=0.05", *parameters),
            log=self.folder / f"policy{self._num_policy_nodes}.log",
        )

    @contextmanager
    def running(self, *parameters: str) -> Iterator[NodeProcess]:
        """Run both; give the policy node."""
        with self.robot(), self.policy_node(*parameters) as node:
            yield node
