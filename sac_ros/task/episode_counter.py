"""Returns of episodes, and gaps between transitions: counted here once, for every listener."""

from dataclasses import dataclass

from sac_ros.task.transition import Transition


@dataclass(frozen=True, kw_only=True)
class Episode:
    """An episode heard whole, or a stretch of one that has no time limit."""

    episode: int
    policy: int
    """Version that acted in its last step."""
    episode_return: float
    """Undiscounted, exploration included."""
    length: int
    """Steps."""
    ending: str
    """`terminated`, `truncated`, `aborted`, or `stretch`: the episode goes on."""
    num_interventions: int
    """Steps that a person commanded."""
    is_of_one_policy: bool
    """Whether one version acted in every step."""

    @property
    def is_the_policys_own(self) -> bool:
        """Whether no person had a hand in it, so that its return tells about the policy."""
        return self.num_interventions == 0 and self.ending != "aborted"


class EpisodeCounter:
    """Adds up rewards by episode, and counts transitions that were lost or came out of order.

    A policy node numbers its episodes from 0 each time it is configured; its session number tells
    the runs apart. Sessions numbered 0 come from old recordings, which have none: there, a lower
    episode number or a step 0 in the midst of an episode begins a new run.
    """

    def __init__(self, stretch_steps: int | None = None) -> None:
        """With `stretch_steps`, a longer episode is also reported, in stretches of that length."""
        self.num_lost = 0
        """Transitions missing between others: sent, and never received."""
        self.num_out_of_order = 0
        """Transitions that came after a later one, or twice."""
        self.num_broken = 0
        """Episodes that ended, or gave way to the next, without having been heard whole."""
        self.last: Episode | None = None
        """The last one that was heard whole."""
        self._stretch_steps = stretch_steps
        self._place: tuple[int, int, int] | None = None
        """Session, episode and step of the newest transition."""
        self._is_over = True
        self._policy = 0
        self._begin(is_whole=False)

    def add(self, transition: Transition) -> Episode | None:
        """Count one transition; return the episode that it ends, if that was heard whole."""
        if not self._find_place(transition):
            return None
        if self._length and transition.policy != self._policy:
            self._is_of_one_policy = False
        self._policy = transition.policy
        self._length += 1
        self._return += transition.reward
        self._num_interventions += transition.intervention
        if transition.terminated or transition.truncated:
            return self._end(transition)
        if self._length == self._stretch_steps:
            return self._end(transition)
        return None

    def _find_place(self, transition: Transition) -> bool:
        """Compare a transition with the newest one; return whether it is newer."""
        place = (transition.session, transition.episode, transition.step)
        newest, gap = self._place, transition.step
        is_new_session = newest is not None and _is_new_session(newest, place)
        if newest is not None and not is_new_session and place <= newest:
            self.num_out_of_order += 1
            # One of an earlier episode does not touch the running one.
            self._is_whole &= place[:2] < newest[:2]
            return False
        if newest is None:
            gap = 0  # the listener joined late, and lost nothing
        self._place = place
        if newest is not None and place[:2] == newest[:2] and not is_new_session:
            gap -= newest[2] + 1
            self._is_whole &= gap == 0
        else:
            self.num_broken += not self._is_over
            self._begin(is_whole=transition.step == 0)
        self.num_lost += gap
        self._is_over = False
        return True

    def _end(self, transition: Transition) -> Episode | None:
        is_over = transition.terminated or transition.truncated
        ending = "terminated" if transition.terminated else "truncated"
        ended = Episode(
            episode=transition.episode,
            policy=transition.policy,
            episode_return=self._return,
            length=self._length,
            ending=("aborted" if transition.aborted else ending) if is_over else "stretch",
            num_interventions=self._num_interventions,
            is_of_one_policy=self._is_of_one_policy,
        )
        is_whole = self._is_whole
        self._begin(is_whole=True)
        self._is_over = is_over
        if not is_whole:
            self.num_broken += 1
            return None
        self.last = ended
        return ended

    def _begin(self, *, is_whole: bool) -> None:
        self._return, self._length, self._num_interventions = 0.0, 0, 0
        self._is_of_one_policy = True
        self._is_whole = is_whole


def _is_new_session(newest: tuple[int, int, int], place: tuple[int, int, int]) -> bool:
    """Tell whether the node was configured anew between two transitions that came in this order."""
    if place[0] != newest[0] or place[0] != 0:
        return place[0] != newest[0]
    begins_again = place[1] == newest[1] and place[2] == 0 and newest[2] > 0
    return place[1] < newest[1] or begins_again
