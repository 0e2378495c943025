"""Statistics of the control loop since the last report: cheap to record, computed on demand."""

import math
import time
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.control_loop import SelectAction
from sac_ros.task.episode_counter import EpisodeCounter
from sac_ros.task.transition import Transition

MAX_SAMPLES = 4096
"""Between two reports; what comes after is counted, but not timed."""
MISSED_AFTER = 0.5
"""Control periods: a command that is later than this, or never comes, is a missed tick."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, 99th percentile and maximum of some times, in ms; zeros where there were none."""

    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, samples_s: NDArray[np.float64]) -> "Spread":
        """Return the spread of times in s."""
        if len(samples_s) == 0:
            return cls(p50_ms=0.0, p99_ms=0.0, max_ms=0.0)
        p50, p99 = np.percentile(samples_s, (50.0, 99.0))
        return cls(p50_ms=1e3 * p50, p99_ms=1e3 * p99, max_ms=1e3 * float(samples_s.max()))


@dataclass(frozen=True, kw_only=True)
class LoopReport:
    """One reporting period."""

    num_commands: int
    rate_hz: float
    """Commands a second."""
    jitter: Spread
    """Deviation of the time between two commands from the control period."""
    inference: Spread
    """From the observation to the policy's action."""


def missed_ticks(interval_s: float, period_s: float) -> int:
    """Return how many ticks were missed between two commands that far apart.

    A tick is due every period after the first command, and missed half a period later.
    """
    if interval_s <= (1.0 + MISSED_AFTER) * period_s:
        return 0
    return math.ceil(interval_s / period_s - 1.0 - MISSED_AFTER)


class LoopStatistics:
    """Samples of one reporting period, and totals since the node was configured."""

    def __init__(self, control_period_s: float, *, counts_missed: bool = True) -> None:
        """Without `counts_missed`, time may run slower than the steady clock (simulation)."""
        self._period_s = control_period_s
        self._counts_missed = counts_missed
        self._last_began_s = math.inf
        self.num_missed = 0
        """Ticks without a command until half a period after they were due, counted from the
        command before. Never fewer than anybody else could count: see `note_command`."""
        self._command_times_s = array("d")
        self._inference_s = array("d")
        self._num_commands = 0
        self._since_s = time.monotonic()
        self.num_transitions = 0
        self._episodes = EpisodeCounter()

    def note_command(self, began_s: float) -> None:
        """Count a command whose publication began then and has ended now.

        Middleware stamps it somewhere between the two. The longest time that can lie between two
        stamps is what counts, so that no listener finds a missed tick that is not found here.
        """
        ended_s = time.monotonic()
        self._num_commands += 1
        if len(self._command_times_s) < MAX_SAMPLES:
            self._command_times_s.append(ended_s)
        if self._counts_missed:
            self.num_missed += missed_ticks(ended_s - self._last_began_s, self._period_s)
        self._last_began_s = began_s

    def note_silence(self) -> None:
        """Expect no command until the next one, as during a reset."""
        self._last_began_s = math.inf

    def note_transition(self, transition: Transition) -> None:
        """Add one step's reward to the return of its episode."""
        self.num_transitions += 1
        self._episodes.add(transition)

    @property
    def last_return(self) -> float | None:
        """Return of the last completely recorded episode; None before the first."""
        last = self._episodes.last
        return None if last is None else last.episode_return

    def timed(self, select_action: SelectAction) -> SelectAction:
        """Wrap a function to record its duration."""

        def select(obs: NDArray[np.float32]) -> NDArray[np.float64]:
            began_s = time.perf_counter()
            action = select_action(obs)
            if len(self._inference_s) < MAX_SAMPLES:
                self._inference_s.append(time.perf_counter() - began_s)
            return action

        return select

    def report(self) -> LoopReport:
        """Return the statistics since the last report, and start the next period."""
        now_s = time.monotonic()
        intervals_s = np.diff(np.array(self._command_times_s))
        report = LoopReport(
            num_commands=self._num_commands,
            rate_hz=self._num_commands / max(now_s - self._since_s, 1e-9),
            jitter=Spread.of(np.abs(intervals_s - self._period_s)),
            inference=Spread.of(np.array(self._inference_s)),
        )
        # The last command begins the next period's first interval.
        self._command_times_s = self._command_times_s[-1:]
        self._inference_s = array("d")
        self._num_commands, self._since_s = 0, now_s
        return report
