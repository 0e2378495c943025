"""Whether as many environments as are asked for fit into memory, found out on a few of them."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.sac.compute.available_memory import available_memory_bytes

NUM_PROBED = 32
WORTH_PROBING = 8 * NUM_PROBED
"""Below, making them all is quicker than asking; no environment here needs more than some MiB."""


class EnvMemoryError(InputError):
    """The environments asked for do not fit into this machine's memory."""


def refuse_more_envs_than_fit(
    make: Callable[[], gym.Env[NDArray[np.float32], NDArray[np.float32]]],
    num_envs: int,
    available_bytes: int | None = None,
) -> None:
    """Raise EnvMemoryError if so many environments need more than is available.

    Asked beforehand: Linux grants more than it has, and kills the process when it is used.
    """
    if num_envs < WORTH_PROBING:
        return
    each_bytes = _measured_size(make)
    available = available_memory_bytes() if available_bytes is None else available_bytes
    if num_envs * each_bytes > available:
        raise EnvMemoryError(
            f"num_envs {num_envs} needs {num_envs * each_bytes / 2**30:.1f} GiB"
            f" ({each_bytes / 2**20:.2f} MiB an environment, measured on {NUM_PROBED}),"
            f" {available / 2**30:.1f} GiB are available; lower it to at most"
            f" {available // each_bytes}"
        )


def _measured_size(make: Callable[[], gym.Env[NDArray[np.float32], NDArray[np.float32]]]) -> int:
    """Return by how many bytes an environment that has begun an episode makes this process grow."""
    first = _begun(make)  # with it comes what all share
    tracemalloc.start()
    before = _resident_bytes()
    probed = [_begun(make) for _ in range(NUM_PROBED)]
    # The process does not grow by small objects that find room in it; Python counts them, but not
    # what a simulator takes for itself.
    grown = max(_resident_bytes() - before, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    for env in (first, *probed):
        env.close()
    return max(1, grown // NUM_PROBED)


def _begun(
    make: Callable[[], gym.Env[NDArray[np.float32], NDArray[np.float32]]],
) -> gym.Env[NDArray[np.float32], NDArray[np.float32]]:
    env = make()
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape or (), dtype=np.float32))
    return env


def _resident_bytes() -> int:
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return resident_pages * os.sysconf("SC_PAGE_SIZE")
