"""How many threads an update runs on: as many as are the fastest at the moment.

Threads of one product wait for each other after each, by spinning. Beside another busy process
that wait turns into the length of that process's turn, and two threads become slower than one,
at worst thirty times. So the choice is measured, and measured again.
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
"""Updates before the first trial: for each number of threads the update is compiled anew."""
TRIAL_PERIOD_S: Final = 60.0
TRIAL_UPDATES: Final = 20
CANDIDATES: Final = (1, 2, 4)


class ThreadChoice:
    """Sets torch's threads and times the updates that run on them."""

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
        """Median time of an update in the last trial, by number of threads."""
        self._tried_at_s = -math.inf
        self._use(self._candidates[0])

    @property
    def threads(self) -> int:
        """Of the next update."""
        return self._threads

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one update, and choose for the next one."""
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
            # At once, without another trial: what has become slow is slow to try.
            self._use(1)

    @property
    def _is_clearly_slower(self) -> bool:
        """Whether even the quickest update so far is far behind another candidate's median."""
        best_s = min(self._results_s.values(), default=math.inf)
        return len(self._recent_s) > 3 and min(self._recent_s) > 1.5 * best_s

    @property
    def _is_slowed_down(self) -> bool:
        """Whether several threads are slower by now than one was in the last trial."""
        return (
            self._threads > 1
            and len(self._recent_s) == TRIAL_UPDATES
            and statistics.fmean(self._recent_s) > self._results_s[1]
        )

    def _begin_trial(self) -> None:
        self._is_on_trial = True
        self._use(self._untried.pop(0))

    def _end_trial(self, now_s: float) -> None:
        # The median: the first update may have waited for its compilation.
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
