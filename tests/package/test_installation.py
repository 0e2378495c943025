"""What pip installs, and that the manifests tell the truth about it."""

import importlib.metadata
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import ROOT, copy_sources, imported_modules

PROGRAMS = {
    "sac-ros",
    "policy_node",
    "learner_node",
    "sim_robot_node",
    "episode_recorder",
    "bag_recorder",
}
CONTROL_RATE_PACKAGES = {"numpy", "pyyaml", "onnxruntime"}
ROS_EXTRAS = {"ros": "constraints-kilted.txt", "ros-jazzy": "constraints-jazzy.txt"}


@pytest.fixture(scope="module", params=["copied", "editable"])
def prefix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix that pip installed this tree into."""
    folder = tmp_path_factory.mktemp("pip")
    tree = folder / "tree"
    copy_sources(tree)
    what = ["--editable", str(tree)] if request.param == "editable" else [str(tree)]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    where = ["--ignore-installed", "--prefix", str(folder / "prefix")]
    install = subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, *where, *what],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert install.returncode == 0, install.stdout + install.stderr
    return folder / "prefix"


def site_packages(prefix: Path) -> Path:
    """Return the folder of a prefix that Python imports from."""
    return next(prefix.glob("lib/python3*/site-packages"))


def test_executables_are_in_bin_and_not_in_lib(prefix: Path) -> None:
    assert {path.name for path in (prefix / "bin").iterdir()} == PROGRAMS
    assert not (prefix / "lib" / "sac_ros").exists()


@pytest.mark.parametrize("program", ["sac-ros", "policy_node"])
def test_executable_runs(prefix: Path, program: str) -> None:
    # A .pth file, which an editable install is, works in a site directory only.
    start = (
        f"import site, sys, runpy; site.addsitedir({str(site_packages(prefix))!r});"
        f"sys.modules['rclpy'] = None; sys.argv = ['{program}', '--help'];"
        f"runpy.run_path({str(prefix / 'bin' / program)!r}, run_name='__main__')"
    )

    process = subprocess.run(
        [sys.executable, "-c", start],
        cwd=prefix,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )

    # Without rclpy a node can only say that it needs it: the executable was found and ran.
    assert process.returncode == (0 if program == "sac-ros" else 2), process.stderr


def requirements(prefix: Path) -> list[Requirement]:
    """Return what the installed metadata asks for."""
    (distribution,) = importlib.metadata.distributions(path=[str(site_packages(prefix))])
    return [Requirement(text) for text in distribution.requires or []]


def test_a_robot_installs_only_what_runs_at_control_rate(prefix: Path) -> None:
    plain = {canonicalize_name(r.name) for r in requirements(prefix) if r.marker is None}

    assert plain == CONTROL_RATE_PACKAGES


def read_pins(*names: str) -> dict[str, str]:
    """Return the version of each package that these constraint files pin."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("ros_extra", ROS_EXTRAS)
def test_every_requirement_is_pinned_within_its_range(prefix: Path, ros_extra: str) -> None:
    pins = read_pins("constraints.txt", ROS_EXTRAS[ros_extra])

    extras = ("sim", "tune", "docs", "test", ros_extra)
    for requirement in requirements(prefix):
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras
        ):
            version = pins.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} has no pin; run make pins"
            assert requirement.specifier.contains(version), f"{requirement}, but {version}"


def test_pins_name_no_local_version() -> None:
    for name in ("constraints.txt", *ROS_EXTRAS.values()):
        assert "+" not in (ROOT / name).read_text(), f"{name} pins what one index only has"


def test_both_manifests_agree() -> None:
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    setup = (ROOT / "setup.py").read_text()

    for tag in ("name", "version", "description", "license"):
        assert f'{tag}="{manifest.findtext(tag)}"' in setup


def test_package_xml_declares_every_ros_package_that_is_imported() -> None:
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in manifest.iter("exec_depend")}
    imported = {
        module.partition(".")[0]
        for room in ("sac_ros", "sim_training", "launch")
        for source in (ROOT / room).rglob("*.py")
        for module in imported_modules(source)
    }
    ros_packages = {
        name
        for name in imported
        if re.fullmatch(r"rclpy|launch\w*|ament\w*|\w+_(msgs|srvs|interfaces)", name)
    }

    assert "rclpy" in ros_packages, "the search found nothing; this test guards nothing"
    assert ros_packages <= declared
