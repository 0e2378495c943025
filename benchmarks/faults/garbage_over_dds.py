"""Send a running policy node damaged bytes over DDS, among valid messages."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, String, UInt8MultiArray

from benchmarks.faults.command_judge import CommandJudge, Verdicts
from benchmarks.faults.fault_processes import Setup, policy_node
from benchmarks.faults.policy_file_fuzzing import mutate
from benchmarks.random_policy import write_random_policy
from sac_ros.errors import InputError
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, SENSOR_QOS
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode
from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import load_task
from sim_training.demos.demo_nodes import own_environment

STARTUP_S = 60.0
GARBAGE_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class GarbageResult:
    """Result of the test."""

    sent: dict[str, int]
    """Damaged messages, by topic."""
    commands: int
    unsafe_commands: int
    reasons: dict[str, int]
    is_alive: bool
    """Whether the node still ran, and commanded, when all messages were good again."""


def send_garbage(folder: Path, duration_s: float, seed: int) -> GarbageResult:
    """Run a policy node, and send good and damaged messages on every topic that it listens to."""
    rng = np.random.default_rng(seed)
    # Without terminations: a speed out of garbage would end the run, as it should, and the test.
    task = replace(load_task("two_joint_arm"), termination=())
    task_file, policy = folder / "task.yaml", folder / "policy.onnx"
    task_file.write_text(yaml.safe_dump(to_mapping(task), sort_keys=False))
    write_random_policy(policy, task, command="benchmarks.faults.message_fuzzing")
    setup = Setup(task=task, task_file=task_file, policy=policy, folder=folder)
    with own_environment(confined=True), policy_node(setup, "learner:=stranger") as process:
        sender = _Sender(setup, rng)
        try:
            sender.describe_robot()
            sender.send_good_until_it_acts()
            sender.send_for(duration_s)
            is_alive = sender.send_good_until_it_acts() and process.poll() is None
        finally:
            sender.close()
    verdicts = sender.verdicts
    return GarbageResult(
        sent=sender.sent,
        commands=verdicts.num_commands,
        unsafe_commands=verdicts.num_unsafe,
        reasons=verdicts.reasons,
        is_alive=is_alive,
    )


class _Sender(EmbeddedNode):
    """Publishes serialised messages, good and damaged, and judges every command."""

    def __init__(self, setup: Setup, rng: np.random.Generator) -> None:
        super().__init__("stranger")
        self._rng = rng
        self.verdicts = Verdicts()
        self._judge = CommandJudge(setup.task, self.verdicts)
        self._states = self.node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        make = self.node.create_publisher
        self._others = {
            "policy_update": (
                make(UInt8MultiArray, "stranger/policy_update", LATCHED_QOS),
                serialize_message(UInt8MultiArray(data=b"{}\n" + bytes(200))),
            ),
            "robot_description": (
                make(String, "robot_description", LATCHED_QOS),
                serialize_message(String(data='<robot name="arm"></robot>')),
            ),
            # Only cut short: with other bytes it would be pressed sooner or later, as it should.
            "estop": (make(Bool, "estop", LATCHED_QOS), serialize_message(Bool(data=False))),
        }
        self.sent = dict.fromkeys(["joint_states", *self._others], 0)
        self.node.create_subscription(
            Float64MultiArray, setup.task.action.topic, self._on_command, 100
        )

    def describe_robot(self) -> None:
        """Publish a good description: where one is announced, the node waits for it."""
        publisher, content = self._others["robot_description"]
        publisher.publish(content)

    def send_good_until_it_acts(self) -> bool:
        """Publish healthy joints until a fresh command comes; raise InputError if none does."""
        began_s, before = time.monotonic(), self.verdicts.num_commands
        while self.verdicts.num_commands < before + 10:
            if time.monotonic() - began_s > STARTUP_S:
                if before:
                    return False
                raise InputError(f"no command within {STARTUP_S} s")
            self._states.publish(self._good())
            self.spin_once(0.01)
        return True

    def send_for(self, duration_s: float) -> None:
        """Publish damaged joints among good ones, and garbage on every other topic."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            good = serialize_message(self._good())
            if self._rng.random() < GARBAGE_SHARE:
                good = mutate(good, self._rng)
                self.sent["joint_states"] += 1
            self._states.publish(good)
            name = str(self._rng.choice(list(self._others)))
            publisher, content = self._others[name]
            garbage = content[:4] if name == "estop" else mutate(content, self._rng)
            publisher.publish(garbage)
            self.sent[name] += 1
            self.spin_once(0.001)

    def _good(self) -> JointState:
        message = JointState(name=["shoulder", "elbow"])
        message.position, message.velocity = [0.3, -0.2], [0.0, 0.0]
        now_ns = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
        return message

    def _on_command(self, message: Float64MultiArray) -> None:
        # This loop is not on time, so commands may be lost here: only their values are judged.
        self._judge.skip_rate_once()
        self._judge.judge(np.array(message.data))
