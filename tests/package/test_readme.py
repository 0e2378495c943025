"""The README stays short, its links and pictures exist, and its commands are understood."""

import re
import shlex

import pytest
from source_tree import ROOT

from sac_ros.command_line import SUBCOMMANDS, run

README = (ROOT / "README.md").read_text()
LINKS = sorted(
    {
        link.partition("#")[0]
        for link in re.findall(r"\]\(([^)\s]+)\)", README)
        if not link.startswith(("http", "#"))
    }
)
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.strip()
    for line in [
        *"\n".join(BLOCKS).replace("\\\n", " ").splitlines(),
        *re.findall(r"`([^`\n]+)`", README),
    ]
    if line.strip().startswith(("sac-ros ", "ros2 launch ", "make "))
]
MAX_PICTURE_BYTES = 2_000_000


def words(program: str) -> list[list[str]]:
    """Return the words of each command of one program, without the comment."""
    commands = [shlex.split(command, comments=True) for command in COMMANDS]
    return [command for command in commands if command[0] == program]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("link", LINKS)
def test_link_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).exists()


def test_pictures_are_small_enough_to_load() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert len(pictures) >= 2, "every picture has a text for those who cannot see it"
    for picture in pictures:
        assert (ROOT / picture).stat().st_size <= MAX_PICTURE_BYTES, picture


@pytest.mark.parametrize("command", words("sac-ros"), ids=" ".join)
def test_subcommand_has_every_option(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, name, *arguments = command
    assert name in SUBCOMMANDS
    try:
        assert run([name, "--help"]) == 0
    except SystemExit as end:
        assert end.code in (0, None)
    known = re.findall(r"--[\w.-]+", capsys.readouterr().out)

    options = [argument for argument in arguments if argument.startswith("--")]
    assert set(options) <= set(known)


@pytest.mark.parametrize("command", words("ros2"), ids=" ".join)
def test_launch_file_declares_every_argument(command: list[str]) -> None:
    launch, package, file, *arguments = command[1:]
    assert (launch, package) == ("launch", "sac_ros")
    source = (ROOT / "launch" / file).read_text()
    for argument in arguments:
        assert f'"{argument.partition(":=")[0]}"' in source


def test_make_has_every_target() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = words("make")
    assert ["make", "demo"] in commands and ["make", "test"] in commands
    for _, *names in commands:
        assert set(names) <= set(targets)
