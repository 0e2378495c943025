"""`sac-ros film`: policies side by side, as a film for a page or a talk."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.evaluation.side_by_side import film_side_by_side
from sim_training.terminal.options import parse_options


@dataclass(frozen=True, kw_only=True)
class FilmOptions:
    """What a person types."""

    policies: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Policy files, such as policies/hopper.onnx; one panel each."""
    out: Path
    """File to write: .mp4, .gif or .webp."""
    seconds: float = 6.0
    """Length of the film, in real time from the start of an episode."""
    seed: int = 1
    """Of the start states."""
    size: int = 320
    """Width and height of a panel, pixels."""

    def __post_init__(self) -> None:
        """Refuse a film without policies, length or pixels."""
        if not self.policies:
            raise ValueError("give at least one policy file")
        if not 0.0 < self.seconds < math.inf:
            raise ValueError(f"seconds must be above 0, got {self.seconds}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if not 64 <= self.size <= 480 or self.size % 2:
            raise ValueError(f"size must be even and 64 to 480 pixels, got {self.size}")


def main(argv: Sequence[str]) -> int:
    """Film as the command line says."""
    options = parse_options(
        FilmOptions,
        argv,
        prog="sac-ros film",
        description="Film policies side by side, each in the simulation of its task.",
    )
    film_side_by_side(
        [OnnxPolicy.load(path) for path in options.policies],
        options.out,
        duration_s=options.seconds,
        seed=options.seed,
        size=options.size,
    )
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")
    return 0
