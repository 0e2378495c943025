"""Slow a simulated robot down so that the learner can keep its update-to-data ratio.

On a real robot time does not wait, so the learner drops updates. A simulation can wait instead.
"""

from collections.abc import Mapping
from typing import Final

MAX_PENDING_AT_FULL_SPEED: Final = 200
"""Pending updates that are tolerated at full speed, because a report is up to a second old."""
MIN_SPEED_FACTOR: Final = 0.05
"""Lowest speed as a fraction of full speed; at zero, the robot would look as if it had failed."""


def simulation_speed_factor(learning: Mapping[str, str]) -> float:
    """Return the speed as a fraction, in (0, 1], of full speed, from a learner's diagnostics.

    Updates of the warm-up are postponed intentionally, and a paused learner takes none, so the
    robot waits in the phases `critic` and `tuning` only.
    """
    if learning.get("phase") not in ("critic", "tuning"):
        return 1.0
    num_pending = int(learning.get("updates owed", "0"))
    if num_pending <= 0:
        return 1.0
    return max(MIN_SPEED_FACTOR, min(1.0, MAX_PENDING_AT_FULL_SPEED / num_pending))
