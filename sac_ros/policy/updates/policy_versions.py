"""Which policy runs: the one that came, one that has followed it, or the last good one again.

Knows no ROS. `offer` may be called from another thread; everything else belongs to the control
loop's thread, and none of it waits.
"""

from collections import deque
from dataclasses import dataclass

from sac_ros.policy.control_loop import SelectAction
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdateError, UpdateHeader
from sac_ros.policy.updates.return_guard import GuardSettings, ReturnGuard


@dataclass(frozen=True, kw_only=True)
class Successor:
    """A policy that has been verified and may run."""

    version: int
    policy: OnnxPolicy
    select_action: SelectAction
    """The policy's own, as the node's parameters want it: most likely, or with noise."""
    num_rollbacks: int = 0
    """Rollbacks that its learner knew of."""


class PolicyVersions:
    """Lets verified policies in at the right moment, and the last good one back when they fail."""

    def __init__(self, first: Successor, settings: GuardSettings) -> None:
        self.running = first
        self._first = self._good = first
        # Of one: appending and popping are each a single step, whichever thread does it.
        self._waiting: deque[Successor] = deque(maxlen=1)
        self._guard = ReturnGuard(settings)
        self._versions_since_good: list[int] = []
        self._num_swaps = self._num_refused = self._num_rollbacks = self._num_episodes = 0
        self._refusal = self._reason = ""
        self._is_rolled_back = False
        self._bad_versions: tuple[int, ...] = ()
        self._newest_version = first.version

    def refuse_unless_due(self, header: UpdateHeader) -> None:
        """Raise PolicyUpdateError for an update that is old, or of a learner behind the times."""
        if header.version <= self._newest_version:
            raise PolicyUpdateError(
                f"version {header.version} is not newer than {self._newest_version}, the newest"
                " taken here"
            )
        if header.num_rollbacks != self._num_rollbacks:
            raise PolicyUpdateError(
                f"version {header.version} comes from a learner that knows of"
                f" {header.num_rollbacks} rollbacks, there were {self._num_rollbacks}; see what"
                " went wrong, then call the learner's ~/resume"
            )

    def offer(self, successor: Successor) -> None:
        """Let a verified policy wait for its moment; it replaces one that waits already."""
        self._newest_version = successor.version
        self._waiting.append(successor)

    def note_refusal(self, reason: str) -> None:
        """Count an update that was refused."""
        self._num_refused += 1
        self._refusal = reason

    def swap(self) -> bool:
        """Let the waiting policy run from now on, if there is one and it may; say whether."""
        if not self._waiting or not self._guard.is_ready:
            return False  # without a baseline nobody could tell whether it is worse
        waiting = self._waiting.pop()
        if waiting.num_rollbacks != self._num_rollbacks:
            return False  # the rollback came while it waited
        self.running = waiting
        self._versions_since_good.append(waiting.version)
        self._num_swaps += 1
        self._is_rolled_back = False
        return True

    def end_episode(self, episode_return: float) -> str | None:
        """Judge the running policy by a whole episode; return why it was given up, if it was."""
        self._num_episodes += 1
        running = self.running
        if running.version == 0:
            self._guard.add_baseline(episode_return)
            return None
        if not self._guard.is_broken_by(episode_return):
            if self._guard.is_good(episode_return):
                self._good = running
                self._versions_since_good.clear()
            return None
        self._reason = (
            f"version {running.version} returned {episode_return:.1f}, the median of the last"
            f" episodes is {self._guard.rolling:.1f}; the bound is {self._guard.bound:.1f}"
        )
        self._bad_versions = tuple(dict.fromkeys((*self._versions_since_good, running.version)))
        if running is self._good:
            # Good once and not any more: then only the policy that came is known to be safe.
            self._good = self._first
        self.running = self._good
        self._waiting.clear()
        self._versions_since_good.clear()
        self._guard.forget_window()
        self._num_rollbacks += 1
        self._is_rolled_back = True
        return self._reason

    def status(self) -> PolicyStatus:
        """Return the whole truth for the learner and the operator."""
        waiting = self._waiting[-1] if self._waiting else None
        return PolicyStatus(
            version=self.running.version,
            good_version=self._good.version,
            newest_version=self._newest_version,
            waiting_version=None if waiting is None else waiting.version,
            waits_for="" if waiting is None else self._waits_for(),
            num_swaps=self._num_swaps,
            num_refused=self._num_refused,
            refusal=self._refusal,
            num_rollbacks=self._num_rollbacks,
            is_rolled_back=self._is_rolled_back,
            bad_versions=self._bad_versions,
            reason=self._reason,
            baseline_return=self._guard.baseline,
            rolling_return=self._guard.rolling,
            bound=self._guard.bound,
            num_episodes=self._num_episodes,
        )

    def _waits_for(self) -> str:
        if self._guard.is_ready:
            return "the end of the episode"
        return "the baseline of the policy that came: without it nobody could tell which is worse"
