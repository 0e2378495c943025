"""Where the package's data files lie: the source tree, a pip prefix or a colcon install."""

from pathlib import Path


def package_share() -> Path:
    """Return the folder that holds config/, launch/ and policies/.

    Searched upwards from this file, so that it needs no environment variable: a source tree has
    package.xml at its top, an installed package lies in PREFIX/lib/... beside
    PREFIX/share/sac_ros.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "package.xml").is_file() and (folder / "config").is_dir():
            return folder
        share = folder / "share" / "sac_ros"
        if (share / "package.xml").is_file():
            return share
    raise FileNotFoundError(
        "no share/sac_ros above " + str(Path(__file__).parent) + "; install the package again"
    )
