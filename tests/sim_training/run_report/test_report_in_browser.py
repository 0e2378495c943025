"""The page of `sac-ros report`, opened in a real browser: `make browser`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from headless_browser import Page, find_browser, open_browser
from training_process import TINY

from sac_ros.command_line import run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two runs side by side."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", "1"), ("other", "2")):
        arguments = ("train", "--task", "inverted_pendulum", *TINY, "--steps", "200")
        assert run([*arguments, "--seed", seed, "--out", str(folder / name)]) == 0
    runs = (str(folder / "one"), str(folder / "other"))
    effort = ("--episodes", "2", "--value-episodes", "1")
    assert run(["report", "--compare", *runs, *effort]) == 0
    return folder / "report" / "index.html"


@pytest.fixture
def page() -> Iterator[Page]:
    program = find_browser()
    assert program is not None, "no Chromium on this machine; sudo apt install chromium"
    with open_browser(program) as page:
        yield page


def test_browser_asks_for_the_page_and_for_nothing_else(report: Path, page: Page) -> None:
    page.open(report)

    assert page.requests[0] == report.resolve().as_uri()
    assert all(address.startswith("data:") for address in page.requests[1:]), page.requests
    assert page.complaints == []


def test_browser_refuses_what_a_page_would_fetch(report: Path, page: Page, tmp_path: Path) -> None:
    """The other test could pass because the browser reports nothing: it does."""
    intruder = '<img src="https://example.invalid/pixel.png"></main>'
    altered = tmp_path / "altered.html"
    altered.write_text(report.read_text().replace("</main>", intruder))

    page.open(altered)

    assert any("Content Security Policy" in complaint for complaint in page.complaints)


@pytest.mark.parametrize("width", [1200, 420])
def test_every_figure_is_seen_and_nothing_sticks_out(report: Path, page: Page, width: int) -> None:
    page.open(report, width=width)

    boxes = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => {"
        " const b = s.getBoundingClientRect(); return [b.left, b.right, b.height] })"
    )
    assert len(boxes) == 4
    for left, right, height in boxes:
        assert 0 <= left < right <= width and height > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_figures_follow_the_theme_of_the_reader(report: Path, page: Page, dark: bool) -> None:
    page.open(report, dark=dark)

    brightness = (
        "(selector, property) => { const c = getComputedStyle(document.querySelector(selector))"
        "[property].match(/[0-9.]+/g).map(Number); return (c[0] + c[1] + c[2]) / 3 }"
    )
    words = page.evaluate(f"({brightness})('figure svg text', 'fill')")
    behind = page.evaluate(f"({brightness})('section', 'backgroundColor')")
    assert abs(words - behind) > 60, "unreadable"
    assert (behind < 128) == dark


def test_film_plays_or_the_page_says_why_there_is_none(report: Path, page: Page) -> None:
    """Machines that test this package may have no OpenGL at all."""
    page.open(report)

    videos = page.evaluate("document.querySelectorAll('video').length")
    excuses = page.evaluate("document.body.innerText.split('No film: ').length - 1")
    assert videos + excuses == 2
    if videos:
        playable = (
            "Promise.all([...document.querySelectorAll('video')].map(v => v.readyState >= 2 ? 1 :"
            " new Promise((ok, no) => { v.onloadeddata = ok; v.onerror = no })))"
            ".then(() => [...document.querySelectorAll('video')].map(v => v.videoWidth))"
        )
        assert all(width > 100 for width in page.evaluate(playable))
