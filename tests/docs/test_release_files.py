"""Changelog and citation are what the ROS 2 release tools and GitHub read."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from source_tree import ROOT


def package_version() -> str:
    version = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert version is not None
    return version


# catkin_pkg calls an interface of docutils that is deprecated.
@pytest.mark.filterwarnings("ignore:nodes.Node.traverse:DeprecationWarning")
def test_the_release_tools_read_the_changelog() -> None:
    changelog_of = pytest.importorskip("catkin_pkg.changelog")
    changelog = changelog_of.get_changelog_from_path(ROOT / "CHANGELOG.rst", "sac_ros")

    versions = list(changelog.foreach_version())
    assert versions[0][0] == package_version()
    assert all(date is not None and entries for _, date, entries in versions)


def test_the_changelog_begins_with_what_comes_next() -> None:
    sections = re.findall(r"^(\w.*)\n-+$", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    assert sections[0] == "Forthcoming" or sections[0].startswith(package_version())


def test_the_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == package_version()
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["title"] and citation["authors"]
