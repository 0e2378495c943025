"""The import directions of the README: on the source, where nothing needs installing, and run."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from source_tree import ROOT, imported_modules

FORBIDDEN = {
    "sac_ros": {"sim_training"},
    "sac_ros/errors.py": {"numpy", "yaml"},
    "sac_ros/command_line.py": {"numpy", "torch", "mujoco", "gymnasium", "rclpy", "onnxruntime"},
    "sac_ros/task": {"torch", "mujoco", "gymnasium", "rclpy", "onnxruntime"},
    "sac_ros/policy": {"torch", "mujoco", "gymnasium", "rclpy", "sac_ros.sac", "sac_ros.nodes"},
    "sac_ros/sac": {"mujoco", "gymnasium", "rclpy", "sac_ros.nodes"},
    "sac_ros/nodes": {"mujoco", "gymnasium"},
    "sac_ros/nodes/control/policy_node.py": {"torch", "sac_ros.sac"},
    "sac_ros/nodes/control/policy_process.py": {"torch", "sac_ros.sac"},
    "sac_ros/doctor": {"torch", "sac_ros.sac", "mujoco", "gymnasium"},
    "sac_ros/bags": {"torch", "rclpy", "mujoco", "gymnasium"},
    "sac_ros/nodes/recorders/bag_recorder.py": {"torch", "sac_ros.sac", "mujoco", "gymnasium"},
    "sac_ros/doctor/examination.py": {"rclpy", "rosbags"},
    "sac_ros/nodes/process/executables.py": {"torch", "rclpy", "onnxruntime"},
    "sac_ros/nodes/control/robot_connections.py": {"torch", "sac_ros.sac"},
    "sim_training": {"rclpy", "sac_ros.nodes"},
}
# The simulated robot is the one place where the simulator speaks ROS 2.
EXEMPT = {"sim_training": {"robot_node"}}
# The arrows between the rooms; the architecture page of the docs prints the same file.
ROOMS = ROOT / "docs" / "rooms.yaml"
MAX_FILES = 16


def first_party_file(module: str) -> Path | None:
    """Return the file of one of our modules, or None for anyone else's."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def reachable_modules(source: Path) -> set[str]:
    """Return what importing one file brings in, following our own modules all the way."""
    reached: set[str] = set()
    waiting = [source]
    while waiting:
        for module in imported_modules(waiting.pop()) - reached:
            reached.add(module)
            if (file := first_party_file(module)) is not None:
                waiting.append(file)
    return reached


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_keeps_its_import_rule(room: str) -> None:
    path = ROOT / room
    files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    files = [file for file in files if file.parent.name not in EXEMPT.get(room, set())]
    assert any(file.is_file() for file in files), f"{room} has no files; the rule guards nothing"
    for file in files:
        for module in reachable_modules(file):
            for banned in FORBIDDEN[room]:
                assert module != banned and not module.startswith(f"{banned}."), (
                    f"{file.relative_to(ROOT)} reaches {module},"
                    f" but {room} must not import {banned}"
                )


def measured_arrows() -> dict[str, set[str]]:
    """Return for each room, a folder with code, the other rooms that its files import."""
    arrows: dict[str, set[str]] = {}
    for package in ("sac_ros", "sim_training"):
        for source in sorted((ROOT / package).rglob("*.py")):
            if source.name == "__init__.py":
                continue
            room = source.parent
            reached = arrows.setdefault(room.relative_to(ROOT).as_posix(), set())
            for module in imported_modules(source):
                file = first_party_file(module)
                if file is not None and file.name != "__init__.py" and file.parent != room:
                    reached.add(file.parent.relative_to(ROOT).as_posix())
    return arrows


def test_rooms_import_each_other_as_the_documented_table_says() -> None:
    documented = yaml.safe_load(ROOMS.read_text())

    measured = {room: sorted(reached) for room, reached in measured_arrows().items()}
    assert {room: entry["imports"] for room, entry in documented.items()} == measured


def test_no_circle_between_rooms() -> None:
    arrows = measured_arrows()
    while arrows:
        # Remove the rooms that import none of those left; a circle never gets that far.
        bottom = [room for room, reached in arrows.items() if not reached & arrows.keys()]
        assert bottom, f"these rooms import each other in a circle: {sorted(arrows)}"
        for room in bottom:
            del arrows[room]


@pytest.mark.parametrize("top", ["sac_ros", "sim_training", "benchmarks", "tests"])
def test_no_folder_has_too_many_files(top: str) -> None:
    for folder in [ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())]:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MAX_FILES, f"{folder.relative_to(ROOT)} has {len(files)} files"


@pytest.mark.parametrize("package", ["sac_ros", "sim_training"])
def test_package_files_are_empty(package: str) -> None:
    for file in (ROOT / package).rglob("__init__.py"):
        assert file.read_text() == "", f"{file.relative_to(ROOT)} makes every import pay for it"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "module",
    ["sac_ros.task.task_spec", "sac_ros.policy.onnx_policy", "sac_ros.policy.control_loop"],
)
def test_what_the_robot_imports_brings_neither_torch_nor_rclpy(module: str) -> None:
    process = run_python(
        f"import {module}, sys;"
        "print(sorted({'torch', 'rclpy', 'mujoco', 'gymnasium'} & set(sys.modules)))"
    )

    assert process.stdout.strip() == "[]", process.stderr


@pytest.mark.parametrize("program", ["policy_node", "episode_recorder", "sim_robot_node"])
def test_node_without_rclpy_says_how_to_get_it(program: str) -> None:
    process = run_python(
        "import sys; sys.modules['rclpy'] = None;"
        f"import sac_ros.nodes.process.executables as executables; executables.{program}()"
    )

    assert process.returncode == 2
    assert process.stderr.count("\n") == 1, process.stderr
    assert "rclpy" in process.stderr and "pip install" in process.stderr


@pytest.mark.ros
def test_policy_node_runs_without_torch() -> None:
    process = run_python(
        "import sys; sys.argv = ['policy_node', '--help'];"
        "sys.modules['torch'] = sys.modules['mujoco'] = sys.modules['gymnasium'] = None;"
        "import sac_ros.nodes.process.executables as executables; executables.policy_node()"
    )

    assert process.returncode == 0, process.stderr
    assert "usage: policy_node" in process.stdout
