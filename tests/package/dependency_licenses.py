"""Which licence each pinned package has, as it says of itself where it is installed.

`python tests/package/dependency_licenses.py` prints docs/reference/licenses.md; see `make pins`.
"""

import importlib.metadata
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = ("constraints.txt", "constraints-kilted.txt")
ROBOT = ("numpy", "PyYAML", "onnxruntime")
ROBOT_ROS = ("ros-kilted-rclpy", "ros-kilted-rmw-fastrtps-cpp", "ros-kilted-common-interfaces")

# What its metadata does not say, and where it was read instead.
READ_ELSEWHERE = {
    "ros-kilted-common-interfaces": "Apache-2.0",  # a list of the others, with their licences
    "ros-kilted-rclpy": "Apache-2.0",
    "ros-kilted-rmw-fastrtps-cpp": "Apache-2.0",
    "pytest-repeat": "MPL-2.0",  # LICENSE in the wheel
}
KINDS = (
    (r"\bAGPL|Affero", "AGPL"),
    (r"\bLGPL|Lesser General", "LGPL"),
    (r"\bGPL|General Public", "GPL"),
    (r"\bMPL|Mozilla Public", "MPL-2.0"),
    (r"Apache", "Apache-2.0"),
    (r"BSD|Redistribution and use in source and binary forms|modified BSD", "BSD"),
    (r"MIT|Permission is hereby granted, free of charge", "MIT"),
    (r"PSF|Python Software Foundation", "PSF-2.0"),
    (r"BSL-1.0|Boost Software", "BSL-1.0"),
    (r"Zlib|zlib", "Zlib"),
    (r"CC0|Public Domain|public domain", "public domain"),
    (r"any-OSI", "any OSI licence"),
)
PERMISSIVE = {"Apache-2.0", "BSD", "MIT", "PSF-2.0", "BSL-1.0", "Zlib"}
PERMISSIVE |= {"public domain", "any OSI licence"}


@dataclass(frozen=True, kw_only=True)
class License:
    """What one package says."""

    package: str
    text: str
    """Its own words, shortened."""
    kinds: frozenset[str]
    """All that are named; of alternatives, all of them."""

    @property
    def is_permissive(self) -> bool:
        """Whether nothing but permissive licences is named."""
        return bool(self.kinds) and self.kinds <= PERMISSIVE


def pinned() -> list[str]:
    """Return the names of all pinned packages."""
    lines = [line for name in PINS for line in (ROOT / name).read_text().splitlines()]
    return sorted((line.split("==")[0] for line in lines if "==" in line), key=str.lower)


def license_of(package: str) -> License:
    """Return what an installed package says; raise PackageNotFoundError if it is not there."""
    distribution = importlib.metadata.distribution(package)
    text = READ_ELSEWHERE.get(package) or _text(distribution)
    kinds = {kind for pattern, kind in KINDS if re.search(pattern, text)}
    if kinds & {"AGPL", "LGPL"}:
        kinds.discard("GPL")  # whose name contains the other's
    return License(package=package, text=" ".join(text.split())[:60], kinds=frozenset(kinds))


def _text(distribution: Distribution) -> str:
    """Return expression, classifiers or field, or else the ROS manifest or the licence's text."""
    metadata = distribution.metadata
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License :: OSI Approved :: ") or line.endswith("Public Domain")
    ]
    said = metadata.get("License-Expression") or ", ".join(classifiers) or metadata.get("License")
    if said and said != "UNKNOWN":
        return said
    for file in distribution.files or []:
        if file.name == "package.xml":
            root = ElementTree.fromstring(file.read_text())
            return ", ".join(str(entry.text) for entry in root.findall("license"))
    for file in distribution.files or []:
        if "licen" in file.name.lower() and "_vendor" not in str(file):
            return file.read_text()[:2000]
    return ""


def needed_by(packages: tuple[str, ...]) -> set[str]:
    """Return the names of packages and all that they need, as installed here."""
    waiting, found = list(packages), set[str]()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def page() -> str:
    """Return docs/reference/licenses.md."""
    robot = needed_by((*ROBOT, *ROBOT_ROS))
    rows = []
    for package in pinned():
        where = "robot" if canonicalize_name(package) in robot else "training, tests"
        try:
            found = license_of(package)
        except PackageNotFoundError:
            rows.append(f"| {package} | not installed here | {where} |")
            continue
        rows.append(f"| {package} | {', '.join(sorted(found.kinds)) or '?'} | {where} |")
    return HEAD + "\n".join(rows) + "\n"


HEAD = """# Licences of the dependencies

sac_ros is under Apache-2.0. Everything that runs on a robot is under a licence as permissive, which
a test checks. Elsewhere some are not: MPL-2.0 (hypothesis, pytest-repeat, pytest-rerunfailures and
pathspec, for tests; tqdm, for `sac-ros tune`) asks for changes of these packages' own files to be
published, and so does certifi (for the documentation only). **ale-py** (extra `atari`, for Atari's
games only) is GPL-2.0: whoever passes on a program together with it has the GPL's duties. docutils
(of colcon and Sphinx) names the GPL for a few of its files beside BSD. Nothing of theirs is in this
package.

As each package says of itself where it is installed. To renew this page after `make pins`:
`python tests/package/dependency_licenses.py`. What a wheel has built in, such as numpy's OpenBLAS,
stands in its own LICENSE files.

| package | licence | where |
|---|---|---|
"""

if __name__ == "__main__":
    print(page(), end="")
