"""Record returns and command timing of a policy node's episodes, from another process."""

import json
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sac_ros.nodes.messages.message_conversion import message_class, transition_from_message
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, TRANSITION_QOS
from sac_ros.nodes.process.node_process import StandaloneNode, run_process
from sac_ros.nodes.process.parameter_table import (
    UNTIL_RESTART,
    Parameter,
    count,
    declare,
    number,
    path,
)
from sac_ros.nodes.recorders.joint_recording import JointRecording
from sac_ros.policy.contract import PolicyContract, read_contract
from sac_ros.task.episode_counter import Episode, EpisodeCounter
from sac_ros.task.task_spec import TaskSpec

if TYPE_CHECKING:  # a name that Jazzy's rclpy does not have
    from rclpy.subscription import MessageInfo

# Deep and best effort: every message counts, and nobody has to wait for us.
LISTENING_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)

PARAMETERS = (
    Parameter("episodes", 5, "How many episodes to wait for.", (1, 1_000_000)),
    Parameter("output", "", "JSON file to write at the end."),
    Parameter(
        "policy",
        "",
        "Exported policy of the policy node, to listen to its topics from the first step on. Empty:"
        " they are learned from the node's contract, after its first steps.",
    ),
    Parameter(
        "joint_states",
        "",
        "CSV file for the joint positions of every JointState; written at the end. Empty: none.",
    ),
    Parameter(
        "timeout_s",
        0.0,
        "Give up after this long without a transition, in s; 0.0 never does.",
        (0.0, 1e6),
    ),
    # EventsExecutor does not hand out message info, which holds the publishers' time stamps.
    Parameter("executor", "single", "'single' or 'multi'."),
)


class CommandTiming:
    """Latency and period of the commands, by the publishers' own time stamps.

    Latency is from the publication of the newest sensor message before a command to the
    publication of the command; both publishers must share a clock, as on one host they do.
    """

    def __init__(self, longest_period_s: float) -> None:
        self._longest_period_s = longest_period_s
        self._sensor_ns = 0
        self._command_ns = 0
        self.latencies_ms: list[float] = []
        self.periods_s: list[float] = []

    @property
    def num_missed(self) -> int:
        """Count the commands that were more than half a period late.

        The period is the median one, so that a simulation may run faster than real time.
        """
        if not self.periods_s:
            return 0
        longest_s = 1.5 * float(np.median(self.periods_s))
        return sum(period_s > longest_s for period_s in self.periods_s)

    def add_sensor(self, message: object, info: "MessageInfo") -> None:
        """Record when a sensor message was published."""
        self._sensor_ns = info["source_timestamp"]

    def add_command(self, message: object, info: "MessageInfo") -> None:
        """Count one command."""
        now_ns = info["source_timestamp"]
        if 0 < self._sensor_ns <= now_ns:
            self.latencies_ms.append((now_ns - self._sensor_ns) * 1e-6)
        period_s = (now_ns - self._command_ns) * 1e-9
        # Longer ones are the pauses between episodes.
        if period_s < self._longest_period_s:
            self.periods_s.append(period_s)
        self._command_ns = now_ns


class EpisodeRecorder(StandaloneNode):
    """Listens until the wanted number of episodes has ended."""

    def __init__(self) -> None:
        super().__init__("episode_recorder")
        declare(self, PARAMETERS).freeze(UNTIL_RESTART)
        self.counter = EpisodeCounter()
        self.episodes: list[Episode] = []
        """Those that were heard whole, from their first step to their end."""
        self._task: TaskSpec | None = None
        self._timing: CommandTiming | None = None
        self._joints = JointRecording()
        self._last_heard_s = time.monotonic()
        self.create_subscription(String, "policy_node/contract", self._on_contract, LATCHED_QOS)

    def start(self) -> None:
        """Listen, if the policy is known already; raise PolicyMismatchError for a wrong file."""
        policy = path(self, "policy")
        if policy is not None:
            self._listen(read_contract(policy).task)

    def is_done(self) -> bool:
        """Say whether all episodes have ended; raise InputError when nothing comes any more."""
        timeout_s = number(self, "timeout_s")
        silent_s = time.monotonic() - self._last_heard_s
        if timeout_s and silent_s > timeout_s:
            raise InputError(
                f"no transition for {silent_s:.1f} s after {len(self.episodes)} episodes;"
                " is the policy node active, and does the robot publish?"
            )
        return len(self.episodes) >= count(self, "episodes")

    def summary(self) -> dict[str, object]:
        """Return the results as values for JSON."""
        timing = self._timing
        return {
            "returns_over_ros": [episode.episode_return for episode in self.episodes],
            "episode_lengths": [episode.length for episode in self.episodes],
            "endings": [episode.ending for episode in self.episodes],
            "lost_transitions": self.counter.num_lost,
            "broken_episodes": self.counter.num_broken,
            "control_period_s": _spread(timing.periods_s if timing else []),
            "missed_ticks": timing.num_missed if timing else 0,
            "latency_ms": _spread(timing.latencies_ms if timing else []),
        }

    def finish(self) -> None:
        """Write the results, complete or not."""
        self._write()
        joint_states = path(self, "joint_states")
        if joint_states is not None:
            self._joints.write(joint_states)

    def _write(self) -> None:
        """Write the summary to parameter `output`, if it names a file."""
        output = path(self, "output")
        if output is None:
            return
        # Whole at any moment: others watch it grow.
        replace_text(output, json.dumps(self.summary(), indent=2) + "\n")

    def _on_contract(self, message: String) -> None:
        """Read the topics to subscribe to from the policy node's contract."""
        if self._task is None:
            self._listen(PolicyContract.from_json(message.data).task)

    def _listen(self, task: TaskSpec) -> None:
        self._task = task
        self._timing = CommandTiming(longest_period_s=10.0 * task.control_period_s)
        self.create_subscription(
            Float64MultiArray, "policy_node/transitions", self._on_transition, TRANSITION_QOS
        )
        first, pace = task.observation[0], task.pace
        if pace.is_of_joints and path(self, "joint_states") is not None:
            self.create_subscription(JointState, pace.topic, self._on_joints, LISTENING_QOS)
        for type_name, topic, listen in (
            (first.type, first.topic, self._timing.add_sensor),
            (task.action.type, task.action.topic, self._timing.add_command),
        ):
            self.create_subscription(message_class(type_name), topic, listen, LISTENING_QOS)
        self.get_logger().info(f"listening to a policy node of task {task.name!r}")

    def _on_joints(self, message: JointState) -> None:
        self._joints.add(message, time.monotonic())

    def _on_transition(self, message: Float64MultiArray) -> None:
        assert self._task is not None
        self._last_heard_s = time.monotonic()
        episode = self.counter.add(
            transition_from_message(message, self._task.obs_dim, self._task.action_dim)
        )
        if episode is not None:
            self.episodes.append(episode)
            self.get_logger().info(
                f"episode {len(self.episodes)}: return {episode.episode_return:.1f} in"
                f" {episode.length} steps, {episode.ending}"
            )
            self._write()


def main() -> int:
    """Run until the episodes have ended or a signal arrives; return the exit status."""
    return run_process(EpisodeRecorder)


def _spread(samples: list[float]) -> dict[str, float]:
    """Return count, mean and percentiles."""
    if not samples:
        return {"count": 0}
    values: NDArray[np.float64] = np.array(samples)
    p50, p99 = np.percentile(values, (50.0, 99.0))
    return {
        "count": len(values),
        "mean": float(values.mean()),
        "p50": float(p50),
        "p99": float(p99),
        "max": float(values.max()),
    }
