"""Whether a message is newer than the last, by its publisher's own time stamps.

Arrival times alone take a message for fresh that was held up on its way, or sent twice. Stamps
tell, though nobody knows how far the publisher's clock is from ours. What they can and cannot tell:

* Stamps that went back: one publisher's messages stay in order (a DDS reader drops what is out of
  order, a queue delivers first what came first), so the clock was changed, or its computer started
  again. Once they have advanced for a while they are believed, and delays are judged anew.
* Stamps that went on as usual after a pause, and lag by the pause from then on: either the
  publisher stood still and its clock with it (a simulation that stumbled), or it never stood still
  and what arrives waits in a queue for as long as the pause was. Both look the same in every stamp
  and every arrival, so the worse is assumed, for as long as it stays. A driver that stood still
  stamps what comes after it with the time it is, and does not lag; nor does sim_robot_node without
  /clock.
* Stamps that lag more and more: a queue that grows, a clock that is slower than ours by more than
  any hardware's, or a simulation slower than real time. Refused as well.

Clocks of hardware drift apart, so the lag may grow by CLOCK_DRIFT. That is what a queue can hide
behind: one that grows by less than 1 ms a second passes for a drifting clock. No drift is granted
while nothing was accepted, or a delay that stays would be believed in the end.
"""

import math

CLOCK_DRIFT = 1e-3
"""Greatest relative drift between two clocks; NTP slews by at most 5e-4."""


class StampOrder:
    """Judges the messages of one publisher; the two clocks need not agree, only run alike.

    A message must be stamped later than the last one, and may take at most `max_delay_s` longer on
    its way than the quickest did. A publisher whose clock was set back is believed again once its
    stamps have advanced for `patience_s`.
    """

    def __init__(self, *, max_delay_s: float, patience_s: float) -> None:
        self._max_delay_s = max_delay_s
        self._patience_s = patience_s
        self._newest_s = -math.inf
        self._least_delay_s = math.inf
        self._accepted_s = 0.0
        self._earlier_s = math.inf
        self._earlier_since_s = 0.0

    def refusal(self, stamp_s: float, arrival_s: float) -> str | None:
        """Return why this message must not be used, or None; remember it if it may."""
        delay_s = arrival_s - stamp_s
        least_s = self._least_delay_s
        if stamp_s <= self._newest_s:
            if not self._was_set_back(stamp_s, arrival_s):
                behind_s = self._newest_s - stamp_s
                return f"stamped {behind_s:.3f} s before the last one" if behind_s else "sent twice"
            least_s = math.inf
        self._newest_s = stamp_s
        self._earlier_s = math.inf
        # A silence is no proof of drift: what follows it may have been held up all the while.
        passed_s = min(arrival_s - self._accepted_s, self._max_delay_s)
        least_s = min(least_s + CLOCK_DRIFT * passed_s, delay_s)
        if delay_s - least_s > self._max_delay_s:
            return (
                f"{delay_s - least_s:.3f} s longer on its way than others, more than"
                f" {self._max_delay_s} s; if its publisher's clock was changed, activate the node"
                " again, and for a simulation set use_sim_time"
            )
        self._least_delay_s, self._accepted_s = least_s, arrival_s
        return None

    def _was_set_back(self, stamp_s: float, arrival_s: float) -> bool:
        """Say whether stamps before the newest have advanced long enough to be a new time."""
        if stamp_s <= self._earlier_s:
            if stamp_s < self._earlier_s:
                self._earlier_since_s = arrival_s
            self._earlier_s = stamp_s
            return False
        self._earlier_s = stamp_s
        return arrival_s - self._earlier_since_s >= self._patience_s
