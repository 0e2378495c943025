"""The policy that runs: the first one, a newer one, or the last good one after a rollback.

Knows no ROS. `offer` may be called from another thread; everything else belongs to the control
loop's thread, and none of it waits.
"""

from collections import deque
from dataclasses import dataclass

from sac_ros.policy.control_loop import SelectAction
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import MAX_BAD_VERSIONS, MAX_REASON_LENGTH, PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdateError, UpdateHeader
from sac_ros.policy.updates.return_guard import GuardSettings, ReturnGuard
from sac_ros.task.episode_counter import Episode


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
    """Lets verified policies in at the right moment, and the last good one back when they fail.

    No policy follows one that has not been judged since it was let in: a person who has to abort
    every episode, or to take over in it, must not hide one bad policy after another.
    """

    def __init__(self, first: Successor, settings: GuardSettings, session: int = 0) -> None:
        """Run `first`; `session` is the policy node's, which the status names."""
        self.running = first
        self._session = session
        self._first = self._good = first
        # Of one: appending and popping are each a single step, whichever thread does it.
        self._waiting: deque[Successor] = deque(maxlen=1)
        self._guard = ReturnGuard(settings)
        # Bounded, as it goes into each status; all that ran in between are bad with its ends.
        self._first_since_good: int | None = None
        self._versions_since_good: deque[int] = deque(maxlen=MAX_BAD_VERSIONS - 1)
        self._is_judged = True
        self._num_unjudged = 0
        self._num_swaps = self._num_refused = self._num_rollbacks = self._num_episodes = 0
        self._refusal = self._reason = ""
        self._is_rolled_back = False
        self._bad_versions: tuple[int, ...] = ()
        self._newest_version = first.version

    def refuse_unless_due(self, header: UpdateHeader) -> None:
        """Raise PolicyUpdateError for an old update, or one of a learner that missed a rollback."""
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
        self._refusal = reason[:MAX_REASON_LENGTH]

    def swap(self) -> bool:
        """Let the waiting policy run from now on, if there is one and it may; say whether."""
        # Without a baseline nobody could tell whether it is worse.
        if not self._waiting or not self._guard.is_ready or not self._is_judged:
            return False
        waiting = self._waiting.pop()
        if waiting.num_rollbacks != self._num_rollbacks:
            return False  # the rollback came while it waited
        self.running = waiting
        if self._first_since_good is None:
            self._first_since_good = waiting.version
        self._versions_since_good.append(waiting.version)
        self._is_judged, self._num_unjudged = False, 0
        self._num_swaps += 1
        self._is_rolled_back = False
        return True

    def judge(self, episode: Episode) -> str | None:
        """Judge the running policy by a whole episode; return why it was given up, if it was.

        After an intervention there is nothing to judge by. An aborted episode, or one in which
        another version acted too, may count against the running policy but never for it.
        """
        is_aborted = episode.ending == "aborted"
        if episode.is_the_policys_own and episode.is_of_one_policy:
            return self.end_episode(episode.episode_return, episode.length)
        projected: float | None = episode.episode_return
        if is_aborted:
            projected = self._guard.projected(episode.episode_return, episode.length)
        counts = episode.num_interventions == 0 and self.running.version != 0
        if counts and projected is not None and self._guard.is_below_bound(projected):
            text = f"was aborted on its way to a return of {projected:.1f}"
            return self._judge_return(projected, text if is_aborted else _returned(projected))
        self._num_unjudged += 1
        return None

    def end_episode(self, episode_return: float, num_steps: int | None = None) -> str | None:
        """Judge the running policy by a return; return why it was given up, if it was.

        `num_steps` is the length of an episode of the baseline, against which aborts are judged.
        """
        if self.running.version != 0:
            return self._judge_return(episode_return, _returned(episode_return))
        self._num_episodes += 1
        self._guard.add_baseline(episode_return, num_steps)
        return None

    def _judge_return(self, episode_return: float, text: str) -> str | None:
        self._num_episodes += 1
        self._is_judged, self._num_unjudged = True, 0
        if self._guard.is_broken_by(episode_return):
            return self._go_back(text)
        if self._guard.is_good(episode_return):
            self._good = self.running
            self._forget_versions()
        return None

    def status(self) -> PolicyStatus:
        """Return the whole state for the learner and the operator."""
        waiting = self._waiting[-1] if self._waiting else None
        return PolicyStatus(
            session=self._session,
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

    def _go_back(self, text: str) -> str:
        """Let the last good policy run again, as `text` tells of the running one; return why."""
        running = self.running
        self._reason = (
            f"version {running.version} {text}, the median of the last"
            f" episodes is {self._guard.rolling:.1f}; the bound is {self._guard.bound:.1f}"
        )
        ran = (self._first_since_good, *self._versions_since_good, running.version)
        self._bad_versions = tuple(dict.fromkeys(version for version in ran if version is not None))
        if running is self._good:
            # Good once and not any more: then only the policy that came is known to be safe.
            self._good = self._first
        self.running = self._good
        self._waiting.clear()
        self._forget_versions()
        self._guard.forget_window()
        self._num_rollbacks += 1
        self._is_rolled_back = True
        return self._reason

    def _forget_versions(self) -> None:
        self._first_since_good = None
        self._versions_since_good.clear()

    def _waits_for(self) -> str:
        if not self._guard.is_ready:
            return "the baseline of the policy that came, which shows whether it is worse"
        if self._is_judged:
            return "the end of the episode"
        unjudged = f"; {self._num_unjudged} could not be judged" if self._num_unjudged else ""
        return (
            f"an episode of version {self.running.version} without abort or intervention, to judge"
            f" it by{unjudged}"
        )


def _returned(episode_return: float) -> str:
    return f"returned {episode_return:.1f}"
