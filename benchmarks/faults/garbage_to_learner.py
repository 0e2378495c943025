"""Send a running learner damaged transitions over DDS, among valid ones."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64MultiArray, String

from benchmarks.control.learning_robot import wait_for_log
from benchmarks.faults.policy_file_fuzzing import mutate
from benchmarks.untrained_run import write_untrained_run
from sac_ros.nodes.messages.message_conversion import transition_message
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, TRANSITION_QOS
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.task.task_spec import TaskSpec, load_task
from sac_ros.task.transition import Transition
from sim_training.demos.demo_nodes import DemoError, node_process, own_environment

PATIENCE_S = 60.0
GARBAGE_SHARE = 0.8
PERIOD_S = 0.002
CAPACITY = 20_000


@dataclass(frozen=True, kw_only=True)
class LearnerGarbageResult:
    """Result of the test."""

    sent: int
    """Damaged messages."""
    refused: int
    """By the learner's own count; ROS 2's deserialiser drops others before."""
    updates: int
    losses: dict[str, float]
    """The learner's last, after all of it."""
    is_alive: bool
    """Whether it still took good transitions, and made updates, at the end."""


def send_garbage_to_learner(folder: Path, duration_s: float, seed: int) -> LearnerGarbageResult:
    """Run a learner at full load, and send good and damaged messages on its topics."""
    task = load_task("two_joint_arm")
    run = write_untrained_run(
        folder, task, buffer_capacity=CAPACITY, command="benchmarks.faults.message_fuzzing"
    )
    with (
        own_environment(),
        node_process(
            "learner_node",
            folder,
            *(f"policy:={run.policy}", f"checkpoint:={run.checkpoint}", f"config:={run.recipe}"),
            *(f"out:={folder / 'robot'}", "policy_node:=stranger", "compiled:=false"),
        ) as process,
    ):
        wait_for_log(process, folder, "learning for task")
        stranger = _Stranger(task, np.random.default_rng(seed))
        try:
            stranger.send_good_until_it_learns()
            stranger.send_for(duration_s)
            is_alive = stranger.send_good_until_it_learns() and process.poll() is None
        finally:
            stranger.close()
    learning = stranger.learning
    return LearnerGarbageResult(
        sent=stranger.num_sent,
        refused=int(learning["messages refused"]),
        updates=int(learning["updates"]),
        losses={name: float(learning[name]) for name in learning if name.endswith("_loss")},
        is_alive=is_alive,
    )


class _Stranger(EmbeddedNode):
    """Publishes valid and damaged steps in place of a policy node."""

    def __init__(self, task: TaskSpec, rng: np.random.Generator) -> None:
        super().__init__("stranger")
        self._task, self._rng = task, rng
        self.num_sent = 0
        self._step = 0
        self.learning: dict[str, str] = {}
        """The learner's newest diagnostics."""
        make = self.node.create_publisher
        self._transitions = make(Float64MultiArray, "~/transitions", TRANSITION_QOS)
        self._status = make(String, "~/policy_status", LATCHED_QOS)
        status = PolicyStatus(version=0, good_version=0, baseline_return=1.0, bound=0.5)
        self._good_status = serialize_message(String(data=status.to_json()))
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def send_good_until_it_learns(self) -> bool:
        """Report good steps until they have led to updates; raise DemoError if none ever did."""
        began_s = time.monotonic()
        before = {name: int(self.learning.get(name, 0)) for name in ("updates", "robot steps")}
        while not all(int(self.learning.get(name, 0)) > n for name, n in before.items()):
            if time.monotonic() - began_s > PATIENCE_S:
                if before["updates"]:
                    return False
                raise DemoError(f"the learner made no update within {PATIENCE_S} s")
            self._transitions.publish(self._good())
            self.spin_once(0.02)
        return True

    def send_for(self, duration_s: float) -> None:
        """Report damaged steps among good ones, and damaged policy statuses."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            message = serialize_message(self._good())
            if self._rng.random() < GARBAGE_SHARE:
                message = mutate(message, self._rng)
                self.num_sent += 1
            self._transitions.publish(message)
            self._status.publish(mutate(self._good_status, self._rng))
            self.num_sent += 1
            self.spin_once(PERIOD_S)

    def _good(self) -> Float64MultiArray:
        self._step += 1
        obs = self._rng.standard_normal((2, self._task.obs_dim)).astype(np.float32)
        return transition_message(
            Transition(
                episode=0,
                step=self._step,
                obs=obs[0],
                action=self._rng.uniform(-1.0, 1.0, self._task.action_dim),
                reward=float(self._rng.standard_normal()),
                next_obs=obs[1],
                terminated=False,
                truncated=False,
            )
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith("learner_node: "):
                self.learning |= {item.key: item.value for item in status.values}
