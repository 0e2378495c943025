"""Check that the requested number of environments fits into memory, by measuring a few."""

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
MIN_ENVS_TO_PROBE = 8 * NUM_PROBED
"""Fewer environments are not checked: creating them all is faster, and each needs a few MiB."""


class EnvMemoryError(InputError):
    """The requested environments do not fit into this machine's memory."""


def refuse_more_envs_than_fit(
    make: Callable[[], gym.Env[NDArray[np.float32], NDArray[np.float32]]],
    num_envs: int,
    available_bytes: int | None = None,
) -> None:
    """Raise EnvMemoryError if `num_envs` environments need more memory than is available.

    Checked in advance: Linux overcommits memory and kills the process later.
    """
    if num_envs < MIN_ENVS_TO_PROBE:
        return
    each_bytes = _measured_size(make)
    available = available_memory_bytes() if available_bytes is None else available_bytes
    if num_envs * each_bytes > available:
        raise EnvMemoryError(
            f"num_envs {num_envs} needs {num_envs * each_bytes / 2**30:.1f} GiB"
            f" ({each_bytes / 2**20:.2f} MiB per environment, measured on {NUM_PROBED}),"
            f" {available / 2**30:.1f} GiB are available; lower it to at most"
            f" {available // each_bytes}"
        )


def _measured_size(make: Callable[[], gym.Env[NDArray[np.float32], NDArray[np.float32]]]) -> int:
    """Return how many bytes this process grows per environment with a started episode."""
    first = _begun(make)  # also loads what all environments share
    tracemalloc.start()
    before = _resident_bytes()
    probed = [_begun(make) for _ in range(NUM_PROBED)]
    # The maximum of two measurements: small objects may not enlarge the process, and Python does
    # not count the memory that a simulator allocates.
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
