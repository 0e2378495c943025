"""The style of all figures: colour-blind-safe colours, and SVG that follows the page's theme."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.typing import RcKeyType

INK, MUTED, GRID, SURFACE = "#1c2733", "#5b6875", "#dfe4ea", "#fffffe"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""The palette of Okabe and Ito, which is safe for colour-blind readers."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (9, 2)))
"""Line styles, to distinguish lines in greyscale print."""
CSS_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    SURFACE: "surface",
    **{colour: f"series-{index}" for index, colour in enumerate(SERIES)},
}
"""CSS custom properties that replace the colours in an inline SVG."""
PNG_DPI = 200
_STYLE: dict[RcKeyType, object] = {
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Use this package's figure style inside the context."""
    with matplotlib.rc_context(_STYLE):
        yield


def colour_of(index: int) -> str:
    """Return the colour of a group of runs; colours repeat after six."""
    return SERIES[index % len(SERIES)]


def format_steps(axes: Axes) -> None:
    """Label the x axis with environment steps such as 250k and 1.5M."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: short_count(step)))


def short_count(count: float) -> str:
    """Return 250000 as 250k and 1500000 as 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(count) >= size:
            return f"{count / size:.3g}{letter}"
    return f"{count:.3g}"


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG with white background, in a resolution for slides."""
    figure.savefig(path, dpi=PNG_DPI, facecolor="white")


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Return the figure as an <svg> element whose colours are the page's custom properties.

    `name` makes identifiers unique on the page; `description`, escaped for HTML, is the text for
    screen readers.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.id": name}):
        figure.savefig(text, format="svg", transparent=True, dpi=PNG_DPI, metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Identifiers such as figure_1 and axes_1 repeat in every figure, and nothing uses them.
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    opening = re.match(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', svg)
    if opening is None:
        raise ValueError("matplotlib's SVG has no viewBox; the page cannot scale the figure")
    svg = (
        f'<svg viewBox="{opening[1]}" role="img" xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{description}</title>{svg[opening.end() :]}"
    )
    svg = svg.replace("'DejaVu Sans'", "var(--font)")
    for colour, css_name in CSS_NAMES.items():
        svg = svg.replace(colour, f"var(--{css_name})")
    return svg
