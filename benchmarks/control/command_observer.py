"""Counts the missed ticks of a policy node from outside, to check the node's own count.

Every command carries the sequence number and time stamp of its publisher. So a command that was
lost on the way is not mistaken for one that was never sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from benchmarks.control.scheduling_stalls import Spans, merged, stalled_ns
from sac_ros.nodes.health.loop_statistics import MISSED_AFTER

if TYPE_CHECKING:  # a name that Jazzy's rclpy does not have
    from rclpy.subscription import MessageInfo

# Reliable and deep: an observer that was held up hears all the same.
LISTENING_QOS = QoSProfile(depth=10_000)
NO_SPANS = merged([])


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """One report of the policy node about itself."""

    stamp_ns: int
    missed_ticks: int
    late_ticks: int
    garbage_p99_ms: float
    garbage_max_ms: float
    garbage_work_ms: float
    """Most processor time of one collection since activation."""
    num_collections: int


@dataclass(frozen=True, kw_only=True)
class MissedTicks:
    """The count from outside beside the node's own, over the same time."""

    num_commands: int
    """Sent in that time."""
    num_unheard: int
    """Of those, sent but not heard here."""
    observed: int
    counted: int
    """By the node."""
    unseen: int
    """Observed between two reports between which the node counted fewer: the excess, over all."""
    never_came: int
    """Ticks of that time without any command."""
    by_stalls: int | None
    """Of those observed, the ones that only a scheduling stall of the machine made late."""


@dataclass
class CommandObserver:
    """A node that only listens; memory for all commands is taken at the beginning."""

    period_s: float
    max_commands: int
    reports: list[NodeReport] = field(default_factory=list)
    learning: dict[str, str] = field(default_factory=dict)
    """The learner's newest diagnostics."""
    policy: dict[str, str] = field(default_factory=dict)
    """The policy node's newest, of its learner link."""

    def __post_init__(self) -> None:
        """Join the graph."""
        self._stamps_ns = np.full(self.max_commands, 0, dtype=np.int64)
        self._numbers = np.full(self.max_commands, 0, dtype=np.int64)
        self._num_heard = 0
        self.node = Node("command_observer")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.node.create_subscription(
            Float64MultiArray, "joint_commands", self._on_command, LISTENING_QOS
        )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, LISTENING_QOS
        )
        self._resume: Client[Trigger.Request, Trigger.Response] = self.node.create_client(
            Trigger, "learner_node/resume"
        )

    def __enter__(self) -> "CommandObserver":
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
        self.node.destroy_node()

    @property
    def num_heard(self) -> int:
        """Commands heard so far."""
        return self._num_heard

    def listen(self, duration_s: float) -> None:
        """Wait for one message that long."""
        self._executor.spin_once(timeout_sec=duration_s)

    def resume_learning(self) -> None:
        """Call the learner's ~/resume, in place of the operator."""
        if self._resume.service_is_ready():
            self._resume.call_async(Trigger.Request())

    def periods_ms(self, begin_ns: int) -> NDArray[np.float64]:
        """Return the times between neighbouring commands, both heard, from `begin_ns` on."""
        stamps_ns, numbers = self._heard(begin_ns)
        return np.diff(stamps_ns)[np.diff(numbers) == 1] * 1e-6

    def missed_ticks(self, begin_ns: int, stalls: Spans | None = None) -> MissedTicks:
        """Compare the counts from the node's first report after `begin_ns` to its last."""
        reports = self._comparable(begin_ns)
        observed = np.diff(self.observed_until(reports))
        counted = np.diff([report.missed_ticks for report in reports])
        stamps_ns, numbers = self._heard(reports[0].stamp_ns)
        end = int(np.searchsorted(stamps_ns, reports[-1].stamp_ns)) - 1
        num_commands = int(numbers[end] - numbers[0])
        elapsed_s = 1e-9 * float(stamps_ns[end] - stamps_ns[0])
        by_stalls = None
        if stalls is not None:
            awake = np.diff(self.observed_until(reports, stalls))
            by_stalls = int(observed.sum() - awake.sum())
        return MissedTicks(
            num_commands=num_commands,
            num_unheard=num_commands - end,
            observed=int(observed.sum()),
            counted=int(counted.sum()),
            unseen=int(np.maximum(0, observed - counted).sum()),
            never_came=round(elapsed_s / self.period_s) - num_commands,
            by_stalls=by_stalls,
        )

    def observed_until(
        self, reports: Sequence[NodeReport], stalls: Spans = NO_SPANS
    ) -> NDArray[np.int64]:
        """Return the missed ticks seen from outside until each of these reports was made.

        The time of scheduling stalls does not count.
        """
        stamps_ns, numbers = self._heard(0)
        still_ns = stalled_ns(stalls, stamps_ns[:-1], stamps_ns[1:])
        intervals = (np.diff(stamps_ns) - still_ns) * 1e-9 / self.period_s
        # A command that was sent but not heard here has come all the same.
        missed = np.maximum(0, np.ceil(intervals - np.diff(numbers) - MISSED_AFTER))
        so_far = np.concatenate(([0], np.cumsum(missed))).astype(np.int64)
        ends = np.searchsorted(stamps_ns[1:], [r.stamp_ns for r in reports], side="right")
        total: NDArray[np.int64] = so_far[ends]
        return total

    def _comparable(self, begin_ns: int) -> list[NodeReport]:
        """Return the reports of which it is known which commands came before and which after."""
        stamps_ns, numbers = self._heard(0)
        places = np.searchsorted(stamps_ns, [report.stamp_ns for report in self.reports])
        return [
            report
            for report, place in zip(self.reports, places.tolist(), strict=True)
            if report.stamp_ns >= begin_ns
            and 0 < place < len(numbers)
            # Else commands were sent around that time that were not heard here.
            and numbers[place] - numbers[place - 1] == 1
        ]

    def _heard(self, begin_ns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        stamps_ns = self._stamps_ns[: self._num_heard]
        first = int(np.searchsorted(stamps_ns, begin_ns))
        return stamps_ns[first:], self._numbers[first : self._num_heard]

    def _on_command(self, message: Float64MultiArray, info: "MessageInfo") -> None:
        if self._num_heard == self.max_commands:
            return
        number = info["publication_sequence_number"]
        assert number is not None  # Fast DDS gives it
        self._stamps_ns[self._num_heard] = info["source_timestamp"]
        self._numbers[self._num_heard] = number
        self._num_heard += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        parts = {status.name: _values(status) for status in message.status}
        for name, values in parts.items():
            if name.startswith("learner_node: "):
                self.learning |= values
        self.policy = parts.get("policy_node: learner link", self.policy)
        loop, garbage = (
            parts.get(f"policy_node: {name}") for name in ("control loop", "garbage collection")
        )
        if loop is None or garbage is None:
            return
        stamp = message.header.stamp
        self.reports.append(
            NodeReport(
                stamp_ns=stamp.sec * 10**9 + stamp.nanosec,
                missed_ticks=int(loop["missed ticks"]),
                late_ticks=int(loop["late ticks"]),
                garbage_p99_ms=float(garbage["p99 [ms]"]),
                garbage_max_ms=float(garbage["max [ms]"]),
                garbage_work_ms=float(garbage["most processor time since activation [ms]"]),
                num_collections=int(garbage["collections since activation"]),
            )
        )


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}
