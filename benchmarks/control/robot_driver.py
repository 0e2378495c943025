"""Plays the robot for a node under test: publishes joint states, notes when commands come back."""

import time
from array import array
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from sac_ros.errors import InputError
from sac_ros.nodes.messages.qos_profiles import SENSOR_QOS
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.nodes.process.node_process import make_executor
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.onnx_policy import OnnxPolicy

if TYPE_CHECKING:  # a name that Jazzy's rclpy does not have
    from rclpy.subscription import MessageInfo

NUM_POSES = 512
"""Different joint states before they repeat: an answer may come this many periods late."""
STARTUP_S = 20.0


class BenchmarkError(InputError):
    """A node under test did not do what it must before its speed means anything."""


@dataclass(frozen=True, kw_only=True)
class Poses:
    """The joint states to send, and the first entry of the command that answers each."""

    messages: list[JointState]
    echo_answers: list[float]
    policy_answers: list[float]


def make_poses(policy: OnnxPolicy) -> Poses:
    """Draw random poses and work out, with the node's own code, what the policy answers."""
    task = policy.task
    names = list(dict.fromkeys(joint for reading in task.readings for joint in reading.joints))
    rng = np.random.default_rng(0)
    readings, loop = SensorReadings(task), ControlLoop(task, policy.mode, max_episode_steps=None)
    messages, answers = [], []
    for _ in range(NUM_POSES):
        message = JointState(
            name=names,
            position=rng.standard_normal(len(names)).tolist(),
            velocity=rng.standard_normal(len(names)).tolist(),
        )
        readings.store(task.readings[0].topic, message, stamp_s=float(len(messages)), arrival_s=0.0)
        messages.append(message)
        answers.append(float(loop.tick(readings.snapshot()).command[0]))
    echoes = [message.position[0] for message in messages]
    if len(set(answers)) < NUM_POSES or len(set(echoes)) < NUM_POSES:
        raise BenchmarkError("two poses have the same answer; answers could not be told apart")
    return Poses(messages=messages, echo_answers=echoes, policy_answers=answers)


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was sent, and what came back with which first entry."""

    sent_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    received: list[float]
    first: int
    """Messages before this one warmed up the node."""


class RobotDriver:
    """A robot that moves on a fixed time grid, whether or not it is answered.

    One thread, and the same way to send and to receive for every node under test.
    """

    def __init__(
        self,
        namespace: str,
        poses: list[JointState],
        rate_hz: float,
        times: Literal["arrival", "publication"],
    ) -> None:
        """Join the graph; `times`: note a command by our steady clock, or by its publisher's."""
        self._poses = poses
        self._period_ns = round(1e9 / rate_hz)
        self._node = Node("robot_driver", namespace=namespace)
        # The quickest executor, but for the publisher's stamp, which it does not hand out.
        self._executor = make_executor("events" if times == "arrival" else "single")
        self._executor.add_node(self._node)
        self._states = self._node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._node.create_subscription(
            Float64MultiArray,
            "joint_commands",
            self._note_arrival if times == "arrival" else self._note_publication,
            SENSOR_QOS,
        )
        self._received: list[tuple[int, float]] = []
        self._sent_ns = array("q")
        self._first = 0

    def __enter__(self) -> "RobotDriver":
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def warm_up(self, answers: list[float], duration_s: float) -> None:
        """Send until one of the answers comes, then for `duration_s` more."""
        give_up_s = time.monotonic() + STARTUP_S
        known = set(answers)
        while not any(answer in known for _, answer in self._received):
            if time.monotonic() > give_up_s:
                raise BenchmarkError(f"no answer to any joint state within {STARTUP_S} s")
            self._received.clear()
            self.send(duration_s=0.1)
        self.send(duration_s)
        self._first = len(self._sent_ns)

    def send(self, duration_s: float) -> None:
        """Publish on the grid, each message when it is due."""
        due_ns = time.monotonic_ns()
        for _ in range(round(duration_s * 1e9 / self._period_ns)):
            number = len(self._sent_ns)
            message = self._poses[number % NUM_POSES]
            # The sensor samples evenly, from 1 s on because a stamp of zero means none.
            seconds, nanoseconds = divmod(1_000_000_000 + number * self._period_ns, 1_000_000_000)
            message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
            due_ns += self._period_ns
            self._receive_until(due_ns)
            self._sent_ns.append(time.monotonic_ns())
            self._states.publish(message)

    def record(self, duration_s: float) -> Record:
        """Wait that long for the last commands, then return all that happened."""
        self._receive_until(time.monotonic_ns() + round(duration_s * 1e9))
        return Record(
            sent_ns=np.array(self._sent_ns, dtype=np.int64),
            received_ns=np.array([at_ns for at_ns, _ in self._received], dtype=np.int64),
            received=[entry for _, entry in self._received],
            first=self._first,
        )

    def _receive_until(self, time_ns: int) -> None:
        while (remaining_ns := time_ns - time.monotonic_ns()) > 0:
            self._executor.spin_once(timeout_sec=remaining_ns * 1e-9)

    def _note_arrival(self, message: Float64MultiArray) -> None:
        self._received.append((time.monotonic_ns(), message.data[0]))

    def _note_publication(self, message: Float64MultiArray, info: "MessageInfo") -> None:
        self._received.append((info["source_timestamp"], message.data[0]))
