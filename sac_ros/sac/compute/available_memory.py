"""The amount of memory that this process can still allocate."""

from pathlib import Path


def available_memory_bytes() -> int:
    """Return the available memory, or the container's memory limit if that is lower."""
    limits = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    container_limit = Path("/sys/fs/cgroup/memory.max")
    if container_limit.is_file() and (text := container_limit.read_text().strip()).isdigit():
        limits.append(int(text))
    return min(limits, default=2**63)
