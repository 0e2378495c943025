"""How fast a simulated robot may go so that the learner keeps its update-to-data ratio.

Time does not wait on a real robot: there the learner drops updates. A simulated one can wait.
"""

from collections.abc import Mapping
from typing import Final

MAX_PENDING_AT_FULL_SPEED: Final = 200
"""Updates that may be owed at full speed: a report is up to a second old."""
MIN_SPEED_FACTOR: Final = 0.05
"""Share of the full speed that is always left, so that nobody takes the robot for dead."""


def simulation_speed_factor(learning: Mapping[str, str]) -> float:
    """Return the share of the full speed, in (0, 1], from a learner node's diagnostics.

    Updates of the warm-up are owed by intention, and those of a paused learner are not to be
    waited for.
    """
    if learning.get("phase") not in ("critic", "tuning"):
        return 1.0
    owed = int(learning.get("updates owed", "0"))
    return max(MIN_SPEED_FACTOR, min(1.0, MAX_PENDING_AT_FULL_SPEED / owed)) if owed > 0 else 1.0
