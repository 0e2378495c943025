"""Detect scheduling stalls of the machine; the software is not to blame for a tick late in one.

On each core, a process at a real-time priority above everything measured sleeps for two
milliseconds, again and again. When it sleeps much longer, that core ran no process at all: the host
gave it to another guest, or the kernel kept it.
"""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SLEEP_S = 0.002
LEAST_S = 0.001
"""A sleep that is this much too long is a stall."""

Spans = NDArray[np.int64]
"""Begin and end of each stall [n, 2] in ns since the epoch, ordered, none overlapping."""


class StallWatch:
    """Processes that watch, one a core, until `stop`."""

    def __init__(self, folder: Path, priority: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self._logs = [folder / f"stalls_{core}.txt" for core in cores]
        self._processes = [
            subprocess.Popen([sys.executable, __file__, str(core), str(priority), str(log)])
            for core, log in zip(cores, self._logs, strict=True)
        ]

    def stop(self) -> Spans | None:
        """Return when any core stalled; None if the watch was not permitted."""
        watched = [process.poll() is None for process in self._processes]
        for process in self._processes:
            process.terminate()
            process.wait()
        if not all(watched):
            return None
        return merged([span for log in self._logs for span in _spans(log)])


@contextmanager
def watching(folder: Path, priority: int) -> Iterator[StallWatch]:
    """Watch for scheduling stalls, at a priority above all that is measured, 2 to 99."""
    watch = StallWatch(folder, priority)
    try:
        yield watch
    finally:
        watch.stop()


def merged(spans: list[tuple[int, int]]) -> Spans:
    """Return the time that any of the spans covers."""
    joined: list[list[int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    return np.array(joined, dtype=np.int64).reshape(-1, 2)


def stalled_ns(
    spans: Spans, begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how much [n] of each interval, from begins [n] to ends [n], lies in the spans."""

    def until(moments: NDArray[np.int64]) -> NDArray[np.int64]:
        lengths = spans[:, 1] - spans[:, 0]
        before = np.concatenate(([0], np.cumsum(lengths)))
        place = np.searchsorted(spans[:, 0], moments)
        over = np.zeros(len(moments), dtype=np.int64)
        inside = place > 0
        over[inside] = np.maximum(0, spans[place[inside] - 1, 1] - moments[inside])
        total: NDArray[np.int64] = before[place] - over
        return total

    return until(ends) - until(begins)


def describe(spans: Spans | None) -> dict[str, float]:
    """Return how many there were and how long they were, in words for a summary."""
    if spans is None:
        return {}
    lengths_ms = 1e-6 * (spans[:, 1] - spans[:, 0])
    return {
        "stalls": len(spans),
        "longest_stall_ms": float(lengths_ms.max(initial=0.0)),
        "stalls_s": 1e-3 * float(lengths_ms.sum()),
    }


def _spans(log: Path) -> list[tuple[int, int]]:
    lines = log.read_text().splitlines()
    return [(int(begin), int(end)) for begin, end in (line.split() for line in lines)]


def _watch(core: int, priority: int, log: Path) -> None:
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        sys.exit("scheduling stalls are not detected: real-time priorities are not permitted here")
    gc.disable()
    with log.open("w", buffering=1) as file:
        while True:
            before_ns = time.time_ns()
            time.sleep(SLEEP_S)
            woke_ns = time.time_ns()
            due_ns = before_ns + round(1e9 * SLEEP_S)
            if woke_ns - due_ns >= 1e9 * LEAST_S:
                file.write(f"{due_ns} {woke_ns}\n")


if __name__ == "__main__":
    _watch(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
