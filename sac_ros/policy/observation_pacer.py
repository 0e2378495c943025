"""When to act, for a node that acts on the arrival of its observation."""


class ObservationPacer:
    """Picks, out of a faster stream of observations, those nearest to the control period.

    Works on the stream's own time stamps, so that a simulated robot may run faster or slower than
    real time. The grid of due times is kept from tick to tick: jitter does not add up to drift.
    """

    def __init__(self, control_period_s: float) -> None:
        self._period_s = control_period_s
        self.reset()

    def reset(self) -> None:
        """Make the next observation due."""
        self._due_s: float | None = None
        self._last_stamp_s: float | None = None

    def is_due(self, stamp_s: float) -> bool:
        """Say whether to act on the observation of this time; count it as acted on if so."""
        interval_s = 0.0 if self._last_stamp_s is None else stamp_s - self._last_stamp_s
        self._last_stamp_s = stamp_s
        if self._due_s is None or interval_s < 0.0:
            self._due_s = stamp_s + self._period_s  # the first one, or the clock was set back
            return True
        # Half the spacing of the stream: the nearest observation, and never two for one period.
        tolerance_s = min(interval_s, self._period_s) / 2.0
        if stamp_s < self._due_s - tolerance_s:
            return False
        self._due_s += self._period_s
        if self._due_s <= stamp_s:
            self._due_s = stamp_s + self._period_s  # the stream paused: do not hurry after it
        return True
