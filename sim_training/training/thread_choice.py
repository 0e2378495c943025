"""Choose the number of threads for an update by measuring which number is fastest.

The threads of a matrix product wait for each other by spinning. If another process uses a core,
each wait can last a whole scheduler time slice, and two threads become slower than one, up to
thirty times. The fastest number therefore changes over time, so it is measured repeatedly.
"""

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import torch

FIRST_TRIAL: Final = 3_000
"""Updates before the first trial. A trial compiles the update for each number of threads."""
TRIAL_PERIOD_S: Final = 60.0
TRIAL_UPDATES: Final = 20
CANDIDATES: Final = (1, 2, 4)


class ThreadChoice:
    """Sets torch's number of threads and measures the update time with each candidate."""

    def __init__(
        self,
        threads: int | Literal["auto"],
        num_cores: int | None = None,
        clock_s: Callable[[], float] = time.perf_counter,
        first_trial: int = FIRST_TRIAL,
        trial_period_s: float = TRIAL_PERIOD_S,
    ) -> None:
        if num_cores is None:
            num_cores = len(os.sched_getaffinity(0))
        usable = tuple(n for n in CANDIDATES if n <= num_cores)
        self._candidates = usable if threads == "auto" else (threads,)
        self._clock_s = clock_s
        self._first_trial = first_trial
        self._trial_period_s = trial_period_s
        self._num_updates = 0
        self._recent_s: deque[float] = deque(maxlen=TRIAL_UPDATES)
        self._untried: list[int] = []
        self._is_on_trial = False
        self._results_s: dict[int, float] = {}
        """Median update time in the last trial, by number of threads."""
        self._tried_at_s = -math.inf
        self._use(self._candidates[0])

    @property
    def threads(self) -> int:
        """Number of threads of the next update."""
        return self._threads

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure one update, then choose the number of threads for the next one."""
        began_s = self._clock_s()
        yield
        if len(self._candidates) > 1:
            now_s = self._clock_s()
            self._note(now_s - began_s, now_s)

    def _note(self, update_s: float, now_s: float) -> None:
        self._num_updates += 1
        self._recent_s.append(update_s)
        if self._is_on_trial:
            if len(self._recent_s) == TRIAL_UPDATES or self._is_clearly_slower:
                self._end_trial(now_s)
        elif self._num_updates >= self._first_trial and (
            now_s - self._tried_at_s >= self._trial_period_s
        ):
            self._untried = list(self._candidates)
            self._begin_trial()
        elif self._is_slowed_down:
            # Switch at once, without a trial: several threads are slow now, and so is a trial.
            self._use(1)

    @property
    def _is_clearly_slower(self) -> bool:
        """Whether even the fastest update is far slower than another candidate's median."""
        best_s = min(self._results_s.values(), default=math.inf)
        return len(self._recent_s) > 3 and min(self._recent_s) > 1.5 * best_s

    @property
    def _is_slowed_down(self) -> bool:
        """Whether several threads are now slower than one thread was in the last trial."""
        return (
            self._threads > 1
            and len(self._recent_s) == TRIAL_UPDATES
            and statistics.fmean(self._recent_s) > self._results_s[1]
        )

    def _begin_trial(self) -> None:
        self._is_on_trial = True
        self._use(self._untried.pop(0))

    def _end_trial(self, now_s: float) -> None:
        # The median, because the first update may include its compilation.
        self._results_s[self._threads] = statistics.median(self._recent_s)
        if self._untried:
            self._begin_trial()
            return
        self._is_on_trial = False
        self._tried_at_s = now_s
        self._use(min(self._results_s, key=self._results_s.__getitem__))

    def _use(self, threads: int) -> None:
        self._threads = threads
        self._recent_s.clear()
        torch.set_num_threads(threads)
