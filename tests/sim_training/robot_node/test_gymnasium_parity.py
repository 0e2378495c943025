"""What the policy node reads from topics is what Gymnasium's environment computes itself.

Gymnasium steps; its joints go out as JointState messages with shuffled names and a joint nobody
asked for; the real policy node, in a process of its own, answers with commands, which Gymnasium
executes; the transitions that the node publishes must be Gymnasium's, number for number.
"""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

pytest.importorskip("rclpy")

from linear_policy import write_linear_policy
from ros_processes import NodeProcess, observing
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.task.task_spec import load_task
from sim_training.robot.mujoco_robot import MujocoRobot

pytestmark = [
    pytest.mark.ros,
    # MuJoCo 4 on a model file of Gymnasium's.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium"),
]

NUM_STEPS = 150


class GymnasiumAsRobot:
    """The unmodified environment, behind joints by name."""

    def __init__(self, task_name: str) -> None:
        self.task = load_task(task_name)
        self.env = gymnasium.make(self.task.simulator.gymnasium_id)
        self.obs, _ = self.env.reset(seed=3)
        robot = MujocoRobot(self.task)
        self._names, self._gears = robot.joint_names, robot.actuators.units
        robot.close()
        self._order = np.random.default_rng(0).permutation(len(self._names) + 1)
        self._stamp_s = 1.0

    def step(self, command: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self._stamp_s += self.task.control_period_s
        self.obs, reward, terminated, truncated, _ = self.env.step(command / self._gears)
        return self.obs, float(reward), terminated, truncated

    def joint_state(self) -> JointState:
        """Return the joints in an order that is not the model's, with one more among them."""
        data = self.env.unwrapped.data
        names = [*self._names, "gripper"]
        message = JointState(
            name=[names[index] for index in self._order],
            position=np.append(data.qpos, 77.0)[self._order].tolist(),
            velocity=np.append(data.qvel, 77.0)[self._order].tolist(),
        )
        message.header.stamp.sec = int(self._stamp_s)
        message.header.stamp.nanosec = round((self._stamp_s - int(self._stamp_s)) * 1e9)
        return message


@pytest.mark.parametrize("task_name", ["inverted_pendulum", "half_cheetah", "hopper", "walker2d"])
def test_transitions_from_topics_equal_gymnasiums(task_name: str, tmp_path: Path) -> None:
    robot = GymnasiumAsRobot(task_name)
    task = robot.task
    gain = 0.3 * np.random.default_rng(1).standard_normal((task.action_dim, task.obs_dim))
    policy = write_linear_policy(tmp_path / "policy.onnx", task, gain)
    # The node sees no time limit in a continuous run; what it must see is the true termination.
    parameters = (f"policy:={policy}", f"task:={task_name}", "act_on:=observation")
    with (
        NodeProcess(
            "policy_node",
            *parameters,
            "autostart:=true",
            "max_age_s:=30.0",
            # This robot sends nothing new until it is commanded.
            "wait_for_description:=never",
            log=tmp_path / "policy_node.log",
        ),
        observing() as observer,
    ):
        commands: list[np.ndarray] = []
        rows: list[Float64MultiArray] = []
        node = observer.node
        node.create_subscription(
            Float64MultiArray, "joint_commands", lambda m: commands.append(np.array(m.data)), 10
        )
        node.create_subscription(Float64MultiArray, "policy_node/transitions", rows.append, 1000)
        sensors = node.create_publisher(JointState, "joint_states", 10)
        observer.wait_until_active()
        observer.wait_until(
            lambda: (
                sensors.get_subscription_count() == 1
                and node.count_publishers("joint_commands") == 1
                and node.count_publishers("policy_node/transitions") == 1
            ),
            "discovery",
        )

        # Discovery by us does not tell that the node has found us: the first may go unheard.
        def first_command() -> bool:
            sensors.publish(robot.joint_state())
            observer.spin_for(0.05)
            return bool(commands)

        observer.wait_until(first_command, "the first command")

        expected = []
        for step in range(NUM_STEPS):
            obs = robot.obs
            next_obs, reward, terminated, _ = robot.step(commands[-1])
            expected.append((obs, reward, next_obs, terminated))
            sensors.publish(robot.joint_state())
            observer.wait_until(lambda: len(rows) == len(expected), f"transition {step}")
            observer.wait_until(lambda: len(commands) >= len(expected) + 1, f"command {step}")
            if terminated:
                break

    transitions = [transition_from_message(row, task.obs_dim, task.action_dim) for row in rows]
    assert len(expected) > 5
    for step, (transition, (obs, reward, next_obs, terminated)) in enumerate(
        zip(transitions, expected, strict=True)
    ):
        assert transition.step == step
        np.testing.assert_array_equal(transition.obs, obs.astype(np.float32))
        np.testing.assert_array_equal(transition.next_obs, next_obs.astype(np.float32))
        assert transition.reward == pytest.approx(reward, rel=1e-9, abs=1e-9)
        assert transition.terminated == terminated
    if task.termination:
        assert transitions[-1].terminated
