"""Scheduling stalls: now and then no new command reaches the actuators, which hold the last one."""

import numpy as np

STALL_INTERVAL_S = 2.0
"""Mean time between two stalls; the time until the next one is exponential."""


class CommandStalls:
    """Stalls of one episode; a function of the generator it is given."""

    def __init__(self, max_stall_s: float, timestep_s: float, rng: np.random.Generator) -> None:
        """`max_stall_s`: the length of each stall is uniform up to this."""
        self._max_stall_s = max_stall_s
        self._timestep_s = timestep_s
        self._rng = rng
        self._time_s = 0.0
        self._ends_s = 0.0
        self._begins_s = rng.exponential(STALL_INTERVAL_S)

    def step(self) -> bool:
        """Advance by one physics step; return whether commands are stalled during it."""
        if self._time_s >= self._begins_s:
            self._ends_s = self._time_s + self._rng.uniform(0.0, self._max_stall_s)
            # At least one command in between: two stalls are never a longer one.
            pause_s = self._timestep_s + self._rng.exponential(STALL_INTERVAL_S)
            self._begins_s = self._ends_s + pause_s
        is_stalled = self._time_s < self._ends_s
        self._time_s += self._timestep_s
        return is_stalled
