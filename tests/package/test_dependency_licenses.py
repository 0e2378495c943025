"""No dependency has a licence incompatible with ours, and the licences page lists them all."""

from importlib.metadata import PackageNotFoundError

import pytest
from dependency_licenses import ROBOT, ROBOT_ROS, license_of, needed_by, pinned
from source_tree import ROOT

# Each is explained in docs/reference/licenses.md; whoever adds one decides what it means for users.
NOT_PERMISSIVE = {
    "ale-py": {"GPL"},
    "certifi": {"MPL-2.0"},
    "docutils": {"GPL", "BSD", "public domain"},
    "hypothesis": {"MPL-2.0"},
    "pathspec": {"MPL-2.0"},
    "pytest-repeat": {"MPL-2.0"},
    "pytest-rerunfailures": {"MPL-2.0"},
    "tqdm": {"MPL-2.0", "MIT"},
}


def installed(packages: set[str] | list[str]) -> list[str]:
    found = []
    for package in packages:
        try:
            license_of(package)
        except PackageNotFoundError:
            continue
        found.append(package)
    return found


def test_everything_on_a_robot_is_as_permissive_as_we_are() -> None:
    packages = installed(needed_by(ROBOT))
    assert {"numpy", "pyyaml", "onnxruntime"} <= set(packages)
    for package in packages:
        assert license_of(package).is_permissive, license_of(package)


# Not marked `ros`: it asks about the packages of Kilted, which no Jazzy environment has.
def test_ros_itself_is_as_permissive_as_we_are() -> None:
    pytest.importorskip("rclpy")
    if not installed(list(ROBOT_ROS)):
        pytest.skip("another ROS 2 than the wheels of Kilted")
    packages = installed(needed_by(ROBOT_ROS))
    assert len(packages) > 50
    for package in packages:
        assert license_of(package).is_permissive, license_of(package)


def test_every_pinned_package_is_permissive_or_known_not_to_be() -> None:
    packages = installed(pinned())
    assert len(packages) > 50
    found = {
        license_of(package).package: set(license_of(package).kinds)
        for package in packages
        if not license_of(package).is_permissive
    }
    assert found.items() <= NOT_PERMISSIVE.items()


def test_page_lists_every_pinned_package() -> None:
    page = (ROOT / "docs" / "reference" / "licenses.md").read_text()
    missing = [package for package in pinned() if f"| {package} |" not in page]
    program = "tests/package/dependency_licenses.py"
    assert not missing, f"run python {program} > docs/reference/licenses.md: {missing}"
    assert "| ? |" not in page
