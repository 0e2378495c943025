"""What explains values outside of the trained range better than a pose that training never saw.

Almost any range that holds zero is met by anything that is divided by 57.3. So an explanation needs
more than a fit: the explained values must fill a good part of the trained range, and a unit must be
one that can be mistaken.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.training_range import TrainingRange
from sac_ros.task.task_spec import Channel

RARELY = 0.01
"""Share of explained values that may still lie outside."""
FILLED = 0.3
"""Share of the trained range that a moving robot must fill for an explanation to be likely."""
NO_ANGLE_RAD = 4.0 * math.pi
"""A joint at rest beyond two turns is rather measured in degrees."""
NO_DISTANCE_M = 10.0
UNKNOWN_POSE = "bring the robot to a pose that training knows, or check unit, offset and frame"
SCALES = {
    "rad": (math.pi / 180.0, NO_ANGLE_RAD, "degrees", "radians"),
    "rad/s": (math.pi / 180.0, NO_ANGLE_RAD, "degrees per second", "radians per second"),
    "m": (1e-3, NO_DISTANCE_M, "millimetres", "metres"),
    "m/s": (1e-3, NO_DISTANCE_M, "millimetres per second", "metres per second"),
}
"""Unit -> factor, value beyond which it is hardly this unit, the likely unit, the right one."""


def explain(
    channel: Channel,
    training: TrainingRange,
    values: NDArray[np.float64],
    index: int,
    names: tuple[str, ...],
) -> str:
    """Return what would bring an entry of values [N, size] back into its range, and how surely."""
    seen, name = values[:, index], names[index]

    def fills(candidate: NDArray[np.float64], at: int) -> float:
        return _filled(channel, training, candidate, at)

    if channel.unit in SCALES:
        factor, limit, likely, right = SCALES[channel.unit]
        filled, smallest = fills(factor * seen, index), float(np.nanmin(np.abs(seen)))
        greatest = float(np.nanmax(np.abs(seen)))
        if filled >= FILLED and greatest > limit:
            return (
                f"{name} looks like {likely}; ROS uses {right} (REP 103). As {likely} it fills"
                f" {filled:.0%} of the trained range"
            )
        if filled >= 0.0 and smallest > limit:
            return (
                f"{name} is possibly in {likely}: {smallest:.4g} {channel.unit} is far. Move it to"
                f" be sure; ROS uses {right} (REP 103)"
            )
    if (filled := fills(-seen, index)) >= FILLED:
        return (
            f"suspected sign flip of {name}: with the other sign it fills {filled:.0%} of the"
            " trained range; check the joint's axis in driver and model"
        )
    for other in range(channel.size):
        if other != index and min(fills(seen, other), fills(values[:, other], index)) >= FILLED:
            return (
                f"suspected permutation of {name} and {names[other]}: exchanged, both fit and fill"
                f" {FILLED:.0%} of their ranges or more; check the order of names in the driver"
            )
    return UNKNOWN_POSE


def _filled(
    channel: Channel, training: TrainingRange, candidate: NDArray[np.float64], at: int
) -> float:
    """Return the share of the trained range that values [N] of one entry fill; -1 if outside."""
    heard = candidate[~np.isnan(candidate)]
    if not len(heard):
        return -1.0
    tried = np.zeros((len(heard), channel.size))
    tried[:, at] = heard
    if float(training.outside(channel.name, tried)[:, at].mean()) > RARELY:
        return -1.0
    low, high = (bound[at] for bound in training.bounds[channel.name])
    width = float(high - low)
    return min(1.0, float(heard.max() - heard.min()) / width) if width > 0.0 else 0.0
