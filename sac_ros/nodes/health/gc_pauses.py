"""Measure how long Python's garbage collector pauses this process."""

import gc
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sac_ros.nodes.health.loop_statistics import MAX_SAMPLES, Spread


@dataclass(frozen=True, kw_only=True)
class GcReport:
    """The pauses of one reporting period."""

    pauses: Spread
    """Since the report before."""
    num_collections: int
    """Since `start`, as all below."""
    longest_ms: float
    longest_work_ms: float
    """Most processor time of one collection; a pause may be longer than that because somebody else
    ran in the middle of it."""


class GcPauses:
    """Measures every collection; all threads wait for it, whichever thread starts it."""

    def __init__(self) -> None:
        self._began_s = self._work_began_s = 0.0
        self._pauses_s = array("d")
        self._num_collections = 0
        self._longest_ms = self._longest_work_ms = 0.0

    def start(self) -> None:
        """Register the collector callback and reset the counters."""
        self._pauses_s = array("d")
        self._num_collections, self._longest_ms, self._longest_work_ms = 0, 0.0, 0.0
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Remove the collector callback."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)

    def report(self) -> GcReport:
        """Return the pauses since the last call, and start the next period."""
        pauses_s, self._pauses_s = self._pauses_s, array("d")
        return GcReport(
            pauses=Spread.of(np.array(pauses_s)),
            num_collections=self._num_collections,
            longest_ms=self._longest_ms,
            longest_work_ms=self._longest_work_ms,
        )

    def _note(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._began_s, self._work_began_s = time.perf_counter(), time.thread_time()
            return
        pause_s = time.perf_counter() - self._began_s
        work_s = time.thread_time() - self._work_began_s
        self._num_collections += 1
        self._longest_work_ms = max(self._longest_work_ms, 1e3 * work_s)
        self._longest_ms = max(self._longest_ms, 1e3 * pause_s)
        if len(self._pauses_s) < MAX_SAMPLES:
            self._pauses_s.append(pause_s)
