"""The page of `sac-ros report`: whole, self-contained, and refused in one line where it must be."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
import recognisable_env  # noqa: F401 - registers its environments
from training_process import TINY

from sac_ros.command_line import run

PENDULUM = ("train", *TINY, "--env", "Pendulum-v1")
# Without a closing tag, as HTML has it.
VOID = {"meta", "link", "br", "img", "input", "hr", "source"}
SECTIONS = (
    "Learning curves",
    "Training",
    "Q values against realised returns",
    "Returns of the trained policies",
    "Hyperparameters",
    "Provenance",
    "All evaluations",
)


class PageReader(HTMLParser):
    """Collects what a page refers to, and fails on a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.headings: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        names = ("src", "href", "xlink:href", "data", "poster", "action")
        self.references += [value or "" for name, value in attrs if name in names]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)

    def close(self) -> None:
        super().close()
        assert not self._open, f"never closed: {self._open}"


def read_page(path: Path) -> tuple[str, PageReader]:
    text = path.read_text(encoding="utf-8")
    reader = PageReader()
    reader.feed(text)
    reader.close()
    return text, reader


def train(folder: Path, *arguments: str) -> Path:
    settings = ("--steps", "240", "--eval-every", "80", "--log-every", "20")
    assert run([*PENDULUM, *settings, "--out", str(folder), *arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of one setting in a/, one of another in b/."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in ("1", "2", "3"):
        train(folder / "a" / seed, "--seed", seed)
    train(folder / "b", "--sac.gamma", "0.9")
    return folder


def report(*arguments: str) -> int:
    return run(["report", *arguments, "--episodes", "3", "--value-episodes", "1", "--no-video"])


@pytest.fixture(scope="module")
def page(runs: Path) -> Path:
    """The page of the three seeds."""
    assert report(str(runs / "a"), "--title", "<b>Three & more") == 0
    return runs / "a" / "report" / "index.html"


def test_page_refers_to_nothing_outside_itself(page: Path) -> None:
    text, reader = read_page(page)

    assert reader.references, "figures refer to their parts; the reader found nothing"
    for reference in reader.references:
        assert reference.startswith(("data:", "#")), reference[:80]
    assert "@import" not in text
    for target in re.findall(r"url\(([^)]*)\)", text):
        assert target.strip("'\"").startswith("#"), target
    # And the browser is told to refuse whatever this test may have missed.
    assert "default-src 'none'" in text


def test_page_has_every_section_and_every_figure_is_sound_svg(page: Path) -> None:
    text, reader = read_page(page)

    assert tuple(reader.headings) == SECTIONS
    figures = re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        root = ElementTree.fromstring(figure)
        assert root.findtext("{http://www.w3.org/2000/svg}title")


def test_no_two_parts_of_the_page_have_the_same_name(page: Path) -> None:
    names = re.findall(r'\sid="([^"]*)"', page.read_text())

    assert len(names) == len(set(names)) > 4


def test_figures_take_their_colours_from_the_page(page: Path) -> None:
    text = page.read_text()
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    defined = set(re.findall(r"(--[\w-]+):", text))

    assert {"--ink", "--grid", "--series-0"} <= used <= defined
    for figure in re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL):
        assert not re.search(r"(?:fill|stroke|color): #", figure), "a colour that dark pages keep"


def test_title_is_shown_as_it_was_written(page: Path) -> None:
    assert "<h1>&lt;b&gt;Three &amp; more</h1>" in page.read_text()


def test_pngs_and_summary_lie_beside_the_page(page: Path) -> None:
    for name in ("learning_curves", "training", "values", "returns"):
        content = (page.parent / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 10_000
    (summary,) = json.loads((page.parent / "summary.json").read_text()).values()
    assert summary["seeds"] == [1, 2, 3] and summary["checkpoint_steps"] == [240] * 3
    assert len(summary["returns"]) == 9
    assert summary["values"]["bias"] == pytest.approx(
        summary["values"]["q_mean"] - summary["values"]["realised_soft_return_mean"], rel=1e-9
    )


def test_same_runs_make_the_same_page(page: Path, runs: Path, tmp_path: Path) -> None:
    options = ("--title", "<b>Three & more", "--out", str(tmp_path))
    assert report(str(runs / "a"), *options) == 0

    again = (tmp_path / "index.html").read_text().partition("<footer>")[0]
    assert again == page.read_text().partition("<footer>")[0]


def test_compared_runs_are_lines_of_their_own(runs: Path, tmp_path: Path) -> None:
    arguments = (str(runs / "a"), str(runs / "b"), "--out", str(tmp_path / "x"))
    assert report("--compare", *arguments) == 0

    text, reader = read_page(tmp_path / "x" / "index.html")
    assert reader.headings == ["Overview", *SECTIONS]
    assert text.count("background: var(--series-0)") and text.count("background: var(--series-1)")
    assert list(json.loads((tmp_path / "x" / "summary.json").read_text())) == ["a", "b"]


def test_runs_with_other_settings_are_compared_by_what_differs(runs: Path, tmp_path: Path) -> None:
    assert report(str(runs / "a"), str(runs / "b"), "--out", str(tmp_path)) == 0

    assert set(json.loads((tmp_path / "summary.json").read_text())) == {"gamma 0.99", "gamma 0.9"}


def test_other_algorithm_is_judged_in_the_reward_of_the_environment(tmp_path: Path) -> None:
    folder = train(tmp_path / "v1", "--algorithm", "sac_v1", "--sac.reward-scale", "10")

    assert report(str(folder)) == 0

    (summary,) = json.loads((folder / "report" / "summary.json").read_text()).values()
    # 140 updates from near zero: ten times that in the scaled reward would show.
    assert abs(summary["values"]["q_mean"]) < 20.0
    assert "vf_loss" in (folder / "report" / "index.html").read_text()


def test_critics_of_numbered_actions_are_judged_too(tmp_path: Path) -> None:
    folder = train(tmp_path / "run", "--env", "CartPole-v1", "--algorithm", "sac_discrete")

    assert report(str(folder)) == 0

    _, reader = read_page(folder / "report" / "index.html")
    (summary,) = json.loads((folder / "report" / "summary.json").read_text()).values()
    assert "Q values against realised returns" in reader.headings
    assert summary["values"]["realised_soft_return_mean"] > 1.0  # a point for every step


def test_page_says_why_there_is_no_film(tmp_path: Path) -> None:
    """This environment draws nothing, on any machine."""
    folder = tmp_path / "run"
    train(folder, "--env", "recognisable_env:Recognisable-v0")

    assert run(["report", str(folder), "--episodes", "1", "--value-episodes", "1"]) == 0

    text, reader = read_page(folder / "report" / "index.html")
    assert "The policy" in reader.headings
    assert "No film: " in text and "<video" not in text


def test_run_that_still_goes_on_is_called_partial(runs: Path, tmp_path: Path) -> None:
    folder = train(tmp_path / "run")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("steps: 240", "steps: 1000000"))

    assert report(str(folder)) == 0

    assert "has finished 240 of 1M steps" in (folder / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "no run given"),
        (("{runs}/nowhere",), "has no run"),
        (("{runs}/a", "--episodes", "0"), "episodes must be at least 1"),
        (("{runs}/a", "--seed", "-1"), "seed must be at least 0"),
        (("{runs}/a", "--compar", "x"), "--compar"),
        (("--compare", "{runs}/a", "{runs}/other"), "different tasks"),
        (("--compare", "{runs}",), "differ in more than their seed"),
        (("{runs}/young/unborn",), "no evaluation yet"),
        (("{runs}/a/1", "--compare", "{runs}/a/2", "{runs}/a/2"), "have the same label"),
    ],
)  # fmt: skip
def test_mistake_is_refused_in_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    if not (runs / "other").exists():
        train(runs / "other", "--env", "recognisable_env:Recognisable-v0")
        unborn = train(runs / "young" / "unborn", "--steps", "5")
        (unborn / "progress.csv").write_text("step,wall_s\n")
    capsys.readouterr()

    assert run(["report", *(word.format(runs=runs) for word in arguments)]) == 2

    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and reason in errors, errors


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(["report", "--help"])

    assert end.value.code == 0
    text = capsys.readouterr().out
    for option in ("RUNS", "--compare", "--out", "--title", "--episodes", "--seed", "--no-video"):
        assert option.lower() in text.lower(), option
