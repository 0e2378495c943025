"""What several seeds say together: the interquartile mean and its bootstrap interval.

Both as in "Deep RL at the Edge of the Statistical Precipice" (arXiv 2108.13264) and its library,
rliable. Not by rliable itself: its newest release cannot be imported beside a current pandas, and
its bootstrap draws from numpy's global generator, so that a page would differ every time it is
made. A test holds these functions to rliable's numbers.

Shapes: S seeds, T points, R resamples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
MIN_SEEDS_FOR_INTERVAL = 3
"""Two runs tell how far apart they are, and nothing about a third."""


class Band(NamedTuple):
    """A curve with what is known of its place."""

    middle: NDArray[np.float64]  # [T], interquartile mean
    low: NDArray[np.float64]  # [T], end of the 95 % interval
    high: NDArray[np.float64]  # [T]


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the middle half of the first axis; [S, ...] to [...].

    A quarter of the values, rounded down, is left out at either end: with fewer than four seeds it
    is the mean.
    """
    num_cut = len(values) // 4
    ordered = np.sort(values, axis=0)
    middle: NDArray[np.float64] = ordered[num_cut : len(values) - num_cut].mean(axis=0)
    return middle


def seed_band(values: NDArray[np.float64], num_resamples: int = NUM_RESAMPLES) -> Band:
    """Return interquartile mean and 95 % percentile bootstrap interval over S seeds [S, T].

    Whole seeds are resampled, within the runs of one task and one set of settings: that is the
    stratum. The same values always give the same interval.
    """
    num_seeds = len(values)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, num_seeds, size=(num_resamples, num_seeds))
    # [S, R, T], so that the seeds are the first axis again.
    resampled = interquartile_mean(values[drawn].swapaxes(0, 1))
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return Band(interquartile_mean(values), low, high)
