"""A pendulum played by the test: it publishes joints when told to, and remembers every command."""

from pathlib import Path

import numpy as np
from linear_policy import write_linear_policy
from ros_processes import NodeProcess, Observer
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sac_ros.task.task_spec import load_task

TASK = load_task("inverted_pendulum")
# Always asks for half of the full force, so that the safe command (0 N) can be told apart.
GAIN = np.array([[0.0, 0.0, 0.0, np.arctanh(0.5)]])
HALF_FORCE_N = 150.0
BY_OBSERVATION = (
    "act_on:=observation",
    "max_age_s:=5.0",  # a pause of this machine is no fault of a sensor
)


def write_pendulum_policy(path: Path) -> Path:
    """Write the policy that asks for half of the force, and return its path."""
    return write_linear_policy(path, TASK, GAIN)


def started(policy: Path, log: Path, *parameters: str) -> NodeProcess:
    """Start a policy node that configures and activates itself."""
    return NodeProcess("policy_node", f"policy:={policy}", "autostart:=true", *parameters, log=log)


class Robot:
    """Publishes joints when told to, and remembers every command."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.commands: list[list[float]] = []
        node = observer.node
        node.create_subscription(
            Float64MultiArray, "joint_commands", lambda m: self.commands.append(list(m.data)), 100
        )
        self._publishers = [node.create_publisher(JointState, "joint_states", 10) for _ in "ab"]

    def send(
        self,
        names: tuple[str, ...] = ("slider", "hinge"),
        position: tuple[float, ...] | None = None,
        velocity: tuple[float, ...] | None = None,
        publisher: int = 0,
    ) -> None:
        """Publish one JointState; velocity 1 makes the policy ask for half of the force."""
        self._publishers[publisher].publish(
            JointState(
                name=list(names),
                position=list((0.0,) * len(names) if position is None else position),
                velocity=list((1.0,) * len(names) if velocity is None else velocity),
            )
        )

    def drive(self, wanted: float, tolerance: float = 1e-3, **message: object) -> None:
        """Publish joints until this command comes back."""
        self.commands.clear()

        def answered() -> bool:
            self.send(**message)  # type: ignore[arg-type]
            return bool(self.commands) and abs(self.commands[-1][0] - wanted) < tolerance

        self.observer.wait_until(answered, f"command {wanted}")

    def wait_for_connection(self) -> None:
        """Wait until the node and we have found each other's topics."""
        node = self.observer.node
        self.observer.wait_until(
            lambda: (
                self._publishers[0].get_subscription_count() == 1
                and node.count_publishers("joint_commands") == 1
            ),
            "discovery",
        )
