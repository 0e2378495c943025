"""The machine and the software that a benchmark ran on; its numbers mean nothing without them."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sim_training.training.provenance import git_commit

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine and the software, before anything was measured."""

    cpu: str
    num_cores: int
    load_average_1min: float
    """Of all processes: other work at the same time makes every number worse."""
    python: str
    packages: dict[str, str]
    git_commit: str


def describe_machine(packages: tuple[str, ...]) -> Machine:
    """Look at this machine, and at the versions of these packages."""
    return Machine(
        cpu=_cpu_model(),
        num_cores=len(os.sched_getaffinity(0)),
        load_average_1min=os.getloadavg()[0],
        python=platform.python_version(),
        packages={package: _version(package) for package in packages},
        git_commit=git_commit(Path(__file__)),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or UNKNOWN
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    # The wheels from PyPI carry the prefix, a ROS 2 installation does not.
    for name in (package, f"ros-{package}"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return UNKNOWN
