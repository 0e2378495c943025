"""Where and how a learner computes; what it computes differs by rounding only."""

from dataclasses import dataclass
from typing import Final

from sac_ros.sac.compute.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Of one learner; the defaults are what all else is held against."""

    device: str = "cpu"
    """As torch names it: cpu, cuda, cuda:1."""
    precision: Precision = "float32"
    """Of the products in hidden layers."""
    compiled: bool = False
    """Whether updates run as one compiled function, or as they are written."""


REFERENCE: Final = Execution()
"""On the CPU, in float32, as it is written."""
