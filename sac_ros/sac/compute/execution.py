"""Device, precision and compilation of a learner; results differ by rounding only."""

from dataclasses import dataclass
from typing import Final

from sac_ros.sac.compute.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How one learner computes; the defaults are the reference in tests."""

    device: str = "cpu"
    """The torch device: cpu, cuda, cuda:1."""
    precision: Precision = "float32"
    """Precision of matrix products in hidden layers."""
    compiled: bool = False
    """Whether each update runs as one function compiled by torch.compile."""


REFERENCE: Final = Execution()
"""CPU, float32, not compiled."""
