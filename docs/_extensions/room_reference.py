"""The rooms of the source and their imports, from docs/rooms.yaml, as a table and as a figure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TypedDict

import yaml
from markdown_table import code, table
from source_reader import root

BOX_WIDTH, BOX_HEIGHT = 158, 34
COLUMN_GAP, LEVEL_GAP, MARGIN = 14, 74, 16
COLORS = {
    "sac_ros/task": ("#d9ead3", "#38761d"),
    "sac_ros/policy": ("#cfe2f3", "#0b5394"),
    "sac_ros/sac": ("#fff2cc", "#b45f06"),
    "sac_ros/nodes": ("#ead1dc", "#a64d79"),
    "sim_training": ("#e6e0d4", "#7f6000"),
    "": ("#eeeeee", "#555555"),
}
"""Fill of a room and line of the arrows that leave it, by the beginning of its name."""


class Room(TypedDict):
    """An entry of rooms.yaml."""

    holds: str
    imports: list[str]


@dataclass(frozen=True)
class Box:
    """Where a room stands in the figure."""

    left: float
    top: float

    @property
    def middle(self) -> float:
        """The x of its centre."""
        return self.left + BOX_WIDTH / 2


def rooms() -> dict[str, Room]:
    """Return the documented rooms; a test holds them against the source."""
    return dict(yaml.safe_load((root() / "docs" / "rooms.yaml").read_text("utf-8")))


def room_table() -> str:
    """Return a table of rooms with what they hold and import."""
    rows = [
        (code(name), room["holds"], ", ".join(map(code, room["imports"])) or "nothing of ours")
        for name, room in rooms().items()
    ]
    return table(("room", "holds", "imports"), rows)


def write_room_figure(path: Path) -> None:
    """Draw the rooms by level, with the arrows that no other path of arrows implies."""
    arrows = {name: set(room["imports"]) for name, room in rooms().items()}
    boxes = _place(arrows)
    width = max(box.left for box in boxes.values()) + BOX_WIDTH + MARGIN
    height = max(box.top for box in boxes.values()) + BOX_HEIGHT + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        ' font-family="sans-serif" font-size="12">',
        *_arrow_heads(),
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
        *_curves(arrows, boxes),
        *_rectangles(boxes),
        "</svg>\n",
    ]
    content = "\n".join(lines)
    if not path.exists() or path.read_text("utf-8") != content:
        path.write_text(content, "utf-8")


def reduced(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows without those that a longer path implies (transitive reduction)."""

    def reach(room: str) -> set[str]:
        return arrows[room].union(*(reach(other) for other in arrows[room]))

    return {
        room: {
            target
            for target in targets
            if not any(target in reach(other) for other in targets - {target})
        }
        for room, targets in arrows.items()
    }


def _levels(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    levels: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in levels:
            levels[room] = 1 + max((level(other) for other in arrows[room]), default=-1)
        return levels[room]

    for room in arrows:
        level(room)
    return levels


def _place(arrows: Mapping[str, set[str]]) -> dict[str, Box]:
    """Put each room above all that it imports, near to what it imports directly."""
    levels = _levels(arrows)
    edges = reduced(arrows)
    columns = max(list(levels.values()).count(level) for level in set(levels.values()))
    full = columns * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP
    boxes: dict[str, Box] = {}
    for level in sorted(set(levels.values())):
        row = [room for room in arrows if levels[room] == level]
        row.sort(key=lambda room: (_mean_middle(edges[room], boxes), room))
        gap = (full - len(row) * BOX_WIDTH) / (len(row) + 1)
        for index, room in enumerate(row):
            left = MARGIN + gap + index * (BOX_WIDTH + gap)
            boxes[room] = Box(left, MARGIN + (max(levels.values()) - level) * LEVEL_GAP)
    return boxes


def _mean_middle(targets: set[str], boxes: Mapping[str, Box]) -> float:
    known = [boxes[target].middle for target in targets if target in boxes]
    return sum(known) / len(known) if known else 0.0


def _curves(arrows: Mapping[str, set[str]], boxes: Mapping[str, Box]) -> Iterator[str]:
    for room, targets in reduced(arrows).items():
        _, line = _colors(room)
        for target in sorted(targets):
            start, end = boxes[room], boxes[target]
            top, bottom = start.top + BOX_HEIGHT, end.top
            bend = (bottom - top) / 2
            yield (
                f'<path d="M{start.middle:g} {top:g} C{start.middle:g} {top + bend:g}'
                f' {end.middle:g} {bottom - bend:g} {end.middle:g} {bottom:g}" fill="none"'
                f' stroke="{line}" stroke-width="1.2" marker-end="url(#head-{line[1:]})"/>'
            )


def _rectangles(boxes: Mapping[str, Box]) -> Iterator[str]:
    for room, box in boxes.items():
        package, _, rest = room.partition("/")
        yield (
            f'<rect x="{box.left:g}" y="{box.top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}"'
            f' rx="4" fill="{_colors(room)[0]}" stroke="#555"/>'
            f'<text x="{box.middle:g}" y="{box.top + 14:g}" text-anchor="middle" fill="#666"'
            f' font-size="9">{escape(package)}</text>'
            f'<text x="{box.middle:g}" y="{box.top + 27:g}" text-anchor="middle" fill="black">'
            f"{escape(rest or package)}</text>"
        )


def _arrow_heads() -> Iterator[str]:
    for _, line in COLORS.values():
        yield (
            f'<defs><marker id="head-{line[1:]}" viewBox="0 0 8 8" refX="7" refY="4"'
            ' markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{line}"/></marker></defs>'
        )


def _colors(room: str) -> tuple[str, str]:
    return next(colors for prefix, colors in COLORS.items() if room.startswith(prefix))
