"""What training has seen of each reading, in the reading's own unit."""

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import PolicyContract
from sac_ros.task.observation import Readings

MARGIN = 0.1
"""Share of the range that a value may lie beyond it: the extremes of a run are no hard bounds."""


class TrainingRange:
    """Least and greatest value [size] of each channel in training, from the policy's contract."""

    def __init__(self, contract: PolicyContract) -> None:
        self.bounds: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        """Channel -> low [size], high [size], without the margin."""
        self._clips: dict[str, tuple[float, float]] = {}
        start = 0
        for channel in contract.task.observation:
            stop = start + channel.size * channel.history
            seen = [np.array(row[start:stop]) for row in (contract.obs_low, contract.obs_high)]
            low, high = (
                values.reshape(channel.history, channel.size) * channel.scale for values in seen
            )
            self.bounds[channel.name] = low.min(axis=0), high.max(axis=0)
            self._clips[channel.name] = channel.clip or (-np.inf, np.inf)
            start = stop

    def outside(self, name: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say for each entry of a channel [..., size] whether training has seen nothing like it."""
        low, high = self.bounds[name]
        margin = MARGIN * (high - low)
        # The policy sees what is beyond the clip as the clip.
        seen = np.clip(values, *self._clips[name])
        # `~` of being inside, so that a NaN is outside.
        return ~((seen >= low - margin) & (seen <= high + margin))

    def unfamiliar(self, readings: Readings) -> list[str]:
        """Return the channels with an entry that training has seen nothing like."""
        return [name for name in self.bounds if self.outside(name, readings[name]).any()]
