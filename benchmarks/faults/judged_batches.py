"""Judge many damaged inputs, one process for each batch: a crash is counted and costs one batch."""

import multiprocessing
from collections import Counter
from collections.abc import Callable

BATCH = 5000
TIMEOUT_S = 600.0


def judge_in_batches(judge: Callable[[range], dict[str, int]], num_inputs: int) -> Counter[str]:
    """Return how often each verdict was given on inputs 0 to num_inputs, which `judge` numbers.

    `judge` travels to other processes, so it is a function of a module, or a partial of one.
    """
    counts: Counter[str] = Counter()
    spawn = multiprocessing.get_context("spawn")
    for first in range(0, num_inputs, BATCH):
        numbers = range(first, min(first + BATCH, num_inputs))
        # Whatever an input did to the process is gone with it.
        with spawn.Pool(1) as pool:
            result = pool.apply_async(judge, (numbers,))
            try:
                counts.update(result.get(timeout=TIMEOUT_S))
            except multiprocessing.TimeoutError:
                counts["crashed or hung"] += len(numbers)
    return counts
