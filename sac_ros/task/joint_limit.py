"""What a joint may do, as the task or the robot's own description says."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sac_ros.task.strict_yaml import Infinite


@dataclass(frozen=True, kw_only=True)
class JointLimit:
    """Bounds of one joint; what is None is not bounded."""

    joint: str
    """Name of a commanded joint."""
    position: tuple[Infinite, Infinite] | None = None
    """Least and greatest position [rad or m]; None: unlimited."""
    velocity: float | None = None
    """Greatest speed in either direction [rad/s or m/s]; None: unlimited."""
    effort: float | None = None
    """Greatest effort in either direction [N m or N]; None: unlimited."""

    def __post_init__(self) -> None:
        """Refuse bounds that leave no room."""
        if self.position is not None and not self.position[0] < self.position[1]:
            raise ValueError(
                f"position limit of {self.joint!r} must be [low, high], got {list(self.position)}"
            )
        for name, value in (("velocity", self.velocity), ("effort", self.effort)):
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} limit of {self.joint!r} must be positive, got {value}")


def tightest(limits: Iterable[JointLimit]) -> tuple[JointLimit, ...]:
    """Return one limit for each joint, as narrow as the narrowest of all given ones.

    Raises ValueError where two position ranges of a joint do not overlap.
    """
    narrow: dict[str, JointLimit] = {}
    for limit in limits:
        known = narrow.get(limit.joint)
        narrow[limit.joint] = limit if known is None else _narrower(known, limit)
    return tuple(narrow.values())


def _narrower(first: JointLimit, second: JointLimit) -> JointLimit:
    ranges = [limit.position for limit in (first, second) if limit.position is not None]
    return JointLimit(
        joint=first.joint,
        position=(max(low for low, _ in ranges), min(high for _, high in ranges))
        if ranges
        else None,
        velocity=_least(first.velocity, second.velocity),
        effort=_least(first.effort, second.effort),
    )


def _least(first: float | None, second: float | None) -> float | None:
    values = [value for value in (first, second) if value is not None]
    return min(values, default=None)
