"""Whether a learner's networks fit into memory, asked before they are made."""

from itertools import pairwise

from sac_ros.errors import InputError
from sac_ros.sac.compute.available_memory import available_memory_bytes
from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config

_FLOAT_BYTES = 4
_LEARNING = 3
"""A weight that is learned, and Adam's two moments of it."""


class NetworkMemoryError(InputError):
    """The networks asked for do not fit into this machine's memory."""


def refuse_if_too_large(config: AlgorithmConfig) -> None:
    """Raise NetworkMemoryError if there is no room for networks of these hidden sizes.

    Observations and actions count as one input: what fails, fails by its hidden layers.
    """
    weights = sum(inputs * outputs for inputs, outputs in pairwise((1, *config.hidden_sizes, 1)))
    needed = weights * _copies(config) * _FLOAT_BYTES
    available = available_memory_bytes()
    # Asked beforehand: Linux grants more than it has and kills the process later.
    if needed > available:
        raise NetworkMemoryError(
            f"networks with hidden sizes {list(config.hidden_sizes)} need"
            f" {needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are available; the sources"
            " train with [256, 256]"
        )


def _copies(config: AlgorithmConfig) -> int:
    """Return how many numbers a learner keeps for each weight of one network."""
    actor = _LEARNING
    match config:
        case SACConfig():
            return actor + config.num_critics * (_LEARNING + 1)
        case SACV1Config():  # the value network has a target, the two critics have none
            return actor + (_LEARNING + 1) + 2 * _LEARNING
        case _:
            return actor + 2 * (_LEARNING + 1)
