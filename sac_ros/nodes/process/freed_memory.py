"""Memory that a process has freed goes back to the system, and is there for others."""

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h."""
LARGE_BYTES: Final = 64 * 1024


def release_large_blocks() -> None:
    """Let every freed block of 64 KiB or more leave this process at once.

    Left alone, glibc takes the size of the largest block that was ever freed for usual, and keeps
    blocks of up to that size in its heaps, which the small ones between them hold open: a node that
    lets a policy in every two seconds then comes and goes by several MiB. Does nothing elsewhere.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
