"""Statistics over seeds: the interquartile mean and its bootstrap confidence interval.

Both follow "Deep RL at the Edge of the Statistical Precipice" (arXiv 2108.13264) and its library
rliable. rliable itself is not used: its newest release fails to import with a current pandas, and
its bootstrap uses numpy's global generator, so reports would not be reproducible. A test compares
these functions with rliable's results.

Shapes: S seeds, T points, R resamples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
MIN_SEEDS_FOR_INTERVAL = 3
"""Two seeds are too few for a confidence interval."""


class Band(NamedTuple):
    """A curve with its confidence interval."""

    middle: NDArray[np.float64]  # [T], interquartile mean
    low: NDArray[np.float64]  # [T], end of the 95 % interval
    high: NDArray[np.float64]  # [T]


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the interquartile mean over the first axis: [S, ...] to [...].

    A quarter of the values, rounded down, is removed at each end. With fewer than four seeds the
    result is the plain mean.
    """
    num_cut = len(values) // 4
    ordered = np.sort(values, axis=0)
    middle: NDArray[np.float64] = ordered[num_cut : len(values) - num_cut].mean(axis=0)
    return middle


def seed_band(values: NDArray[np.float64], num_resamples: int = NUM_RESAMPLES) -> Band:
    """Return the interquartile mean and its 95 % bootstrap interval for S seeds, values [S, T].

    Percentile bootstrap over whole seeds; the stratum is the runs of one task with equal settings.
    The same values always give the same interval.
    """
    num_seeds = len(values)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, num_seeds, size=(num_resamples, num_seeds))
    # [S, R, T], so that the seeds are the first axis again.
    resampled = interquartile_mean(values[drawn].swapaxes(0, 1))
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return Band(interquartile_mean(values), low, high)
