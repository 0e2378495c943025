"""Whether a message is newer than the last, by its publisher's own time stamps.

Arrival times alone take a message for fresh that was held up on its way, or sent twice.
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
        self._arrival_s = 0.0
        self._earlier_s = math.inf
        self._earlier_since_s = 0.0

    def refusal(self, stamp_s: float, arrival_s: float) -> str | None:
        """Return why this message must not be used, or None; remember it if it may."""
        delay_s = arrival_s - stamp_s
        if stamp_s <= self._newest_s:
            if not self._was_set_back(stamp_s, arrival_s):
                behind_s = self._newest_s - stamp_s
                return f"stamped {behind_s:.3f} s before the last one" if behind_s else "sent twice"
            self._least_delay_s = delay_s
        passed_s = arrival_s - self._arrival_s
        self._arrival_s = arrival_s
        self._least_delay_s = min(self._least_delay_s + CLOCK_DRIFT * passed_s, delay_s)
        self._newest_s = stamp_s
        self._earlier_s = math.inf
        if delay_s - self._least_delay_s > self._max_delay_s:
            return (
                f"{delay_s - self._least_delay_s:.3f} s longer on its way than others, more than"
                f" {self._max_delay_s} s; if its publisher's clock was changed, activate the node"
                " again, and for a simulation set use_sim_time"
            )
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
