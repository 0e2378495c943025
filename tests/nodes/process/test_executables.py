"""The console commands of the nodes, interrupted at moments that leave no node to tell."""

import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def run_module(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a module as a node's module is run by its console command."""
    (folder / "node_module.py").write_text(source)
    start = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}];"
        "import sac_ros.nodes.process.executables as e; e._run('program', 'node_module')"
    )
    return subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)


def test_ctrl_c_during_the_imports_ends_without_a_traceback(tmp_path: Path) -> None:
    # A library that catches everything must not swallow it.
    process = run_module(tmp_path, f"try:\n    {INTERRUPT}\nexcept BaseException:\n    pass\n")
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("status", [0, 2])
def test_second_ctrl_c_while_python_ends_does_not_change_the_exit_status(
    tmp_path: Path, status: int
) -> None:
    source = (
        "import os, signal\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):\n"
        "        kill(pid, number)  # Python has put the default handlers back by now\n"
        "def main():\n"
        "    globals()['last'] = Last()\n"
        f"    return {status}\n"
    )
    process = run_module(tmp_path, source)
    assert (process.returncode, process.stderr) == (status, "")
