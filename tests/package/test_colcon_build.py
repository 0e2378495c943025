"""`colcon build` of this tree, for real: what a ROS 2 user gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT, copy_sources

pytestmark = pytest.mark.ros  # the installed executables need rclpy


@pytest.fixture(
    scope="module", params=["copied", pytest.param("symlinked", marks=pytest.mark.long)]
)
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder install/sac_ros of a workspace built with colcon."""
    workspace = tmp_path_factory.mktemp("workspace")
    copy_sources(workspace / "src" / "sac_ros")
    options = ["--symlink-install"] if request.param == "symlinked" else []
    build = subprocess.run(
        [sys.executable, "-m", "colcon", "build", "--event-handlers", "console_direct+", *options],
        cwd=workspace,
        env={**os.environ, "COLCON_HOME": str(workspace / "colcon_home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return workspace / "install" / "sac_ros"


def run_sourced(prefix: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does: after `. install/setup.bash`, from somewhere else."""
    return subprocess.run(
        ["bash", "-c", f". {prefix.parent}/setup.bash && {command}"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("program", ["policy_node", "sim_robot_node", "episode_recorder"])
def test_executables_lie_where_ros2_run_looks(prefix: Path, program: str) -> None:
    process = run_sourced(prefix, f"{prefix}/lib/sac_ros/{program} --help")

    assert process.returncode == 0, process.stderr
    assert f"usage: {program}" in process.stdout


def test_the_command_line_is_installed_beside_them(prefix: Path) -> None:
    process = run_sourced(prefix, f"{prefix}/lib/sac_ros/sac-ros --help")

    assert process.returncode == 0, process.stderr
    assert "usage: sac-ros" in process.stdout


def test_ament_finds_the_package(prefix: Path) -> None:
    process = run_sourced(
        prefix,
        f"{sys.executable} -c 'from ament_index_python import get_package_share_directory as share;"
        'print(share("sac_ros"))\'',
    )

    assert process.stdout.strip() == str(prefix / "share" / "sac_ros"), process.stderr


@pytest.mark.parametrize(
    "folder", ["launch", "config", "config/tasks", "config/models", "policies"]
)
def test_every_shared_file_is_installed(prefix: Path, folder: str) -> None:
    wanted = {path.name for path in (ROOT / folder).glob("*.*") if path.is_file()}
    installed = {path.name for path in (prefix / "share" / "sac_ros" / folder).glob("*.*")}

    assert installed == wanted


def test_manifest_is_installed(prefix: Path) -> None:
    manifest = prefix / "share" / "sac_ros" / "package.xml"

    assert manifest.read_text() == (ROOT / "package.xml").read_text()


def test_installed_code_finds_its_tasks(prefix: Path) -> None:
    """The package that runs is the workspace's, and it finds the files beside it."""
    process = run_sourced(
        prefix,
        f"{sys.executable} -c 'import sac_ros; from sac_ros.task.task_spec import load_task;"
        'print(sac_ros.__file__, load_task("half_cheetah").name)\'',
    )

    file, name = process.stdout.split()
    assert file.startswith(str(prefix.parents[1])), file
    assert name == "half_cheetah"
