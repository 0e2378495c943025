"""Policies from a learner to a running robot: heard, verified elsewhere, swapped between episodes.

Verification (sha256, contract, golden pairs, change of the action) takes tens of milliseconds, so
it has a thread of its own, which gives way to the control loop every half millisecond.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String, UInt8MultiArray

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.nodes.process.node_resources import NodeResources
from sac_ros.policy.contract import NUM_GOLDEN_PAIRS
from sac_ros.policy.control_loop import SelectAction
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_update import PolicyUpdateError, open_update, read_key
from sac_ros.policy.updates.policy_versions import PolicyVersions, Successor
from sac_ros.policy.updates.return_guard import GuardSettings
from sac_ros.policy.updates.update_check import check_update
from sac_ros.task.episode_counter import Episode, EpisodeCounter
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition, new_session

RECENT_OBS = 256
"""Observations at which a new policy must not differ too much from the running one."""
POLL_PERIOD_S = 0.1
SWITCH_INTERVAL_S = 0.0005

MakeSelect = Callable[[OnnxPolicy], SelectAction]


@dataclass(frozen=True, kw_only=True)
class ExchangeSettings:
    """Which policies are let in, and when."""

    learner: str
    """Name of the node that sends them; empty: the policy that came runs for ever."""
    swap: Literal["episodes", "ticks"]
    max_action_change: float
    key_file: str
    guard: GuardSettings


class PolicyExchange:
    """Owns the policy that acts; the control loop asks it for every action."""

    def __init__(
        self,
        node: LifecycleNode,
        resources: NodeResources,
        settings: ExchangeSettings,
        task: TaskSpec,
        policy: OnnxPolicy,
        make_select: MakeSelect,
        on_garbage: Callable[[], None],
    ) -> None:
        """Connect to the learner, if there is to be one; raise KeyFileError.

        `on_garbage` is called, in another thread, when a verification has left much of it.
        """
        first = Successor(version=0, policy=policy, select_action=make_select(policy))
        self._node = node
        self._settings = settings
        self._task = task
        self._make_select = make_select
        self._on_garbage = on_garbage
        self._key = read_key(Path(settings.key_file).expanduser()) if settings.key_file else None
        # A new number each time: the episodes of the node count from 0 again.
        self._session = new_session()
        self.succession = PolicyVersions(first, settings.guard, self._session)
        self._acted: deque[tuple[NDArray[np.float32], int]] = deque(maxlen=2)
        """Newest observations that were acted on, and the version that did."""
        # A robot that runs without end is judged by stretches of an episode's length.
        self._episodes = EpisodeCounter(stretch_steps=task.max_episode_steps)
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=RECENT_OBS)
        self._num_reported = -1
        # The thread's own: a session must not be used by two threads at once.
        self._twin = OnnxPolicy.from_bytes(policy.content) if settings.learner else policy
        self._unverified: bytes | None = None
        self._wake = threading.Event()
        self._is_closing = False
        self._refusals: deque[str] = deque(maxlen=16)
        self._has_offered = False
        if not settings.learner:
            return
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._status = resources.publisher(String, "~/policy_status", LATCHED_QOS)
        self._thread = threading.Thread(target=self._verify_all, name="verifier", daemon=True)
        self._thread.start()
        resources.on_close(self._end_thread)
        resources.subscription(
            UInt8MultiArray, f"{settings.learner}/policy_update", self._on_update, LATCHED_QOS
        )
        resources.steady_timer(POLL_PERIOD_S, self._report)
        self._publish_status()

    def select_action(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the running policy's action [A] in [-1, 1] for obs [O]."""
        running = self.succession.running
        self._acted.append((obs, running.version))
        return running.select_action(obs)

    def label(self, transition: Transition) -> Transition:
        """Return a step that has just ended with our session and the version that acted in it.

        By then another version may have acted on the next observation. Where a person commanded
        the step no version did, and the running one stands for it.
        """
        running = self.succession.running.version
        # The control loop puts into the transition the very array that the policy was given.
        acted = (version for obs, version in self._acted if obs is transition.obs)
        return replace(transition, policy=next(acted, running), session=self._session)

    def note(self, transition: Transition) -> None:
        """Count a step that a learner hears of; swap at the end of its episode."""
        if not self._settings.learner:
            return
        ended = self._episodes.add(transition)
        self._recent.append(transition.obs)
        if ended is not None:
            self._judge(ended)
        elif transition.terminated or transition.truncated:
            self._swap()
        elif self._settings.swap == "ticks" and self.succession.swap():
            self._publish_status()

    def _end_thread(self) -> None:
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _judge(self, episode: Episode) -> None:
        reason = self.succession.judge(episode)
        if reason is None:
            self._swap()
            return
        self._node.get_logger().error(
            f"back to policy version {self.succession.running.version}: {reason}; learning"
            " waits for the learner's ~/resume"
        )
        self._publish_status()

    def _swap(self) -> None:
        if self.succession.swap():
            self._node.get_logger().info(
                f"policy version {self.succession.running.version} runs from now on"
            )
        self._publish_status()

    def _on_update(self, message: UInt8MultiArray) -> None:
        """Hand the bytes to the thread; a newer update replaces one that still waits.

        None at all take back what was latched: a learner that went back has nothing to offer.
        """
        if len(message.data) > 0:
            self._unverified = bytes(message.data)
            self._wake.set()

    def _verify_all(self) -> None:
        while not self._is_closing:
            self._wake.wait()
            self._wake.clear()
            content, self._unverified = self._unverified, None
            if content is None or self._is_closing:
                continue
            try:
                self._verify(content)
            except PolicyUpdateError as error:
                self._refusals.append(f"refused a policy update: {error}")
            except Exception as error:
                # The control loop goes on with the policy it has, whatever is wrong with this one.
                self._refusals.append(f"refused a policy update: {error!r}")
            self._on_garbage()  # a contract is thousands of small objects

    def _verify(self, content: bytes) -> None:
        update = open_update(content, self._key)
        self.succession.refuse_unless_due(update.header)
        twin = self._twin_of_running()
        recent = np.array([*self._recent], dtype=np.float32)
        if len(recent) < NUM_GOLDEN_PAIRS:
            # A node that has just started has seen nothing yet, and a latched update is there.
            recent = np.array(twin.contract.golden.obs, dtype=np.float32)
        policy = check_update(update, twin, recent, self._settings.max_action_change)
        self.succession.offer(
            Successor(
                version=update.header.version,
                policy=policy,
                select_action=self._make_select(policy),
                num_rollbacks=update.header.num_rollbacks,
            )
        )
        self._has_offered = True

    def _twin_of_running(self) -> OnnxPolicy:
        running = self.succession.running.policy
        if self._twin.content != running.content:
            self._twin = OnnxPolicy.from_bytes(running.content)
        return self._twin

    def _report(self) -> None:
        """Tell of what was verified, in the node's own thread."""
        has_news, self._has_offered = self._has_offered or bool(self._refusals), False
        while self._refusals:
            refusal = self._refusals.popleft()
            self._node.get_logger().warning(refusal)
            self.succession.note_refusal(refusal)
        if has_news:
            self._publish_status()

    def _publish_status(self) -> None:
        self._status.publish(String(data=self.succession.status().to_json()))


def selection(
    mode: Literal["mode", "sample"], noise_scale: float, rng: np.random.Generator
) -> MakeSelect:
    """Return what makes of a policy the way it acts."""
    if mode == "mode":
        return lambda policy: policy.mode
    return lambda policy: partial(policy.sample, rng=rng, noise_scale=noise_scale)
