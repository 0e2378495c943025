"""`make` and what it says where it cannot go on; Python and pip are scripts that do nothing."""

import fcntl
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

FILES = ("Makefile", "setup.py", "setup.cfg", "pyproject.toml", "constraints.txt")
# Makes a virtual environment whose pip writes down what it was told.
PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) exit {venv_status} ;;
  *python%d*) echo python3.11-venv ;;
  *version_info*) exit {range_status} ;;
  "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip"*) echo "$*" >> pip.log; exit {pip_status} ;;
esac
"""


class Checkout:
    """A copy of the files that `make` reads, and a Python that it finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = folder.parent / "tools"
        self.tools.mkdir()
        folder.mkdir()
        for name in (*FILES, "constraints-kilted.txt"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        self.write_python()

    def write_python(
        self, range_status: int = 0, venv_status: int = 0, pip_status: int = 0
    ) -> None:
        """Replace the Python by one that answers like this."""
        for name in ("python3", "python3.11", "python3.12", "python3.13"):
            program = self.tools / name
            program.write_text(
                PYTHON.format(
                    range_status=range_status, venv_status=venv_status, pip_status=pip_status
                )
            )
            program.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start make."""
        return subprocess.Popen(
            ["make", "--no-print-directory", *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.tools}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make(self, *arguments: str) -> tuple[int, str]:
        """Return make's exit status and what the person sees."""
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out + errors

    @property
    def num_installs(self) -> int:
        """How often pip has installed."""
        log = self.folder / "pip.log"
        return log.read_text().count("install") if log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


INSTALL = ".venv/installed"
(DEFAULT,) = re.findall(r'"-m", "([^"]*)"', (ROOT / "pyproject.toml").read_text())
"""What pytest selects if it is not told otherwise."""


def test_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    helped = set(re.findall(r'@echo "make ([\w-]+) ', makefile))
    assert helped | {"help"} == set(targets.split())


@pytest.mark.parametrize("venv", [".venv", ".venv-jazzy"])
def test_no_test_is_left_out_of_every_target(venv: str) -> None:
    """Of any markers: on Kilted every test, on Jazzy every test that needs ROS 2."""
    makefile = (ROOT / "Makefile").read_text()
    calls = re.findall(rf"{venv}/bin/(?:python -m pytest|\$\(PYTEST\))(.*)", makefile)
    selections = [re.findall(r"-m (?:\"([^\"]*)\"|(\w+))", call) for call in calls]
    chosen = ["".join(found[0]) if found else DEFAULT for found in selections]
    assert len(chosen) >= 3
    for ros, long, browser in itertools.product([True, False], repeat=3):
        markers = {"ros": ros, "distro": False, "long": long, "browser": browser}
        if venv == ".venv" or (ros and not browser):
            assert any(eval(choice, {}, markers) for choice in chosen), markers


def test_install_is_made_once_and_renewed_when_what_it_is_made_from_changes(
    checkout: Checkout,
) -> None:
    for _ in range(2):
        assert checkout.make(INSTALL)[0] == 0
    assert checkout.num_installs == 1
    # As an update of the checkout does that moves an entry point.
    (checkout.folder / "setup.py").touch()
    assert checkout.make(INSTALL)[0] == 0
    assert checkout.num_installs == 2


def test_second_make_says_that_it_waits_and_installs_nothing_again(checkout: Checkout) -> None:
    venv = checkout.folder / ".venv"
    venv.mkdir()
    with (venv / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as the first one does
        second = checkout.start(INSTALL)
        assert second.stderr is not None
        assert second.stderr.readline() == (
            "make: another make is installing .venv; waiting for it\n"
        )
        (venv / "installed").touch()
    assert second.communicate(timeout=60)[1] == "" and second.returncode == 0
    assert checkout.num_installs == 0


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ({"range_status": 1}, "no Python 3.11 to 3.13 found"),
        ({"venv_status": 1}, "has no venv module; sudo apt install python3.11-venv"),
        ({"pip_status": 1}, "pip could not install"),
    ],
)
def test_python_that_cannot_install_is_told_in_one_line_and_a_better_one_goes_on(
    checkout: Checkout, python: dict[str, int], reason: str
) -> None:
    checkout.write_python(**python)
    status, said = checkout.make(INSTALL)
    assert status == 2
    ours, makes = said.splitlines()
    assert reason in ours and makes.startswith("make: ***")
    checkout.write_python()
    assert checkout.make(INSTALL)[0] == 0


def test_named_python_is_the_one_that_is_used(checkout: Checkout) -> None:
    status, said = checkout.make(INSTALL, "PYTHON=/nowhere/python")
    assert status == 2 and "no Python 3.11 to 3.13 found at /nowhere/python" in said


def test_folder_that_cannot_be_written_is_told_in_one_line(checkout: Checkout) -> None:
    # As in a read-only checkout, but for root too.
    (checkout.folder / ".venv").write_text("no folder")
    status, said = checkout.make(INSTALL)
    assert status == 2
    assert said.splitlines()[0].startswith(f"make: cannot write to {checkout.folder}/.venv")
    assert (checkout.folder / ".venv").read_text() == "no folder"


@pytest.mark.parametrize("program", ["policy_node", "sim_robot_node"])
def test_command_of_an_older_installation_runs_and_says_that_it_is_old(program: str) -> None:
    old = f"import sys; from sac_ros.nodes.executables import {program} as main; main()"
    process = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['rclpy'] = None; {old}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    # The node itself says the second line: it was found, and needs rclpy.
    ours, nodes = process.stderr.splitlines()
    assert ours.startswith(f"{program}: this command was installed from an older source")
    assert "rclpy" in nodes and process.returncode == 2
