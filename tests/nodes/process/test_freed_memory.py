"""What a process frees goes back to the system."""

import subprocess
import sys

PROGRAM = """
import os, sys
from sac_ros.nodes.process.freed_memory import release_large_blocks

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

if sys.argv[1] == "given back":
    release_large_blocks()
passing = bytes([1]) * 1_000_000
del passing  # glibc learns that such blocks come and go
large, small = [], []
for _ in range(200):
    large.append(bytes([1]) * 100_000)
    small.append(bytes([1]) * 2_000)
before = resident_mib()
large.clear()
print(before - resident_mib())
"""


def mib_given_back(how: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_large_blocks_leave_the_process_when_they_are_freed() -> None:
    assert mib_given_back("given back") > 18.0
    assert mib_given_back("kept") < 2.0
