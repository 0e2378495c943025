"""Memory and processor time of processes over time, as Linux accounts for them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUM_PARTS = 10
"""The time after the warm-up is judged by the medians of so many parts."""


@dataclass(frozen=True)
class Usage:
    """One process at one moment, memory in MiB."""

    own_mib: float
    """What it has written and shares with nobody. Not counted: the middleware's shared memory, and
    pages of libraries, which a process has alone once the last other one that maps them ends."""
    pss_mib: float
    """Proportional set: shared pages are divided among those who map them."""
    cpu_s: float
    """Processor time since the process began, in user and kernel mode."""


def usage_of(pid: int) -> Usage:
    """Look at a process now; raise OSError if it has ended."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {
        name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)
    }
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        own_mib=kib["Private_Dirty"] / 1024.0,
        pss_mib=kib["Pss"] / 1024.0,
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
    )


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Growth of the memory of one process after the warm-up."""

    begin_mib: float
    """Median of the first part of the time after the warm-up."""
    most_mib: float
    """Greatest median of any part."""
    peak_mib: float
    """Greatest sample."""
    mib_per_hour: float
    """Slope of a line through all samples."""

    @property
    def share(self) -> float:
        """Growth as a share of what there was."""
        return self.most_mib / self.begin_mib - 1.0


def growth(times_s: Sequence[float], samples_mib: Sequence[float]) -> Growth:
    """Judge one process by its samples after the warm-up, at least one for each part.

    Medians, because a checkpoint or a policy that is being verified takes memory for a moment.
    """
    times, samples = np.array(times_s), np.array(samples_mib)
    medians: NDArray[np.float64] = np.array(
        [np.median(part) for part in np.array_split(samples, NUM_PARTS)]
    )
    slope = np.polyfit(times, samples, 1)[0]
    return Growth(
        begin_mib=float(medians[0]),
        most_mib=float(medians.max()),
        peak_mib=float(samples.max()),
        mib_per_hour=3600.0 * float(slope),
    )
