"""A disk that is full, for one process and for a while."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_limited_to(size: int, pid: int | None = None) -> Iterator[None]:
    """Let the system refuse to grow any file of a process, else this one, past `size` bytes."""
    pid = os.getpid() if pid is None else pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
