"""A benchmark as a process, for tests of its short form."""

import os
import signal
import subprocess
import sys

from source_tree import ROOT

PATIENCE_S = 600.0
"""Several times what the short forms take on a busy machine."""


def run_benchmark(module: str, *options: str) -> None:
    """Run a benchmark; fail unless it comes to a verdict, which is status 0 or 1."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        # Not killed: it ends its node processes first.
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode in (0, 1), output
