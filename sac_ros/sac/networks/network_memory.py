"""Check that a learner's networks fit into memory, before they are created."""

from itertools import pairwise

from sac_ros.errors import InputError
from sac_ros.sac.compute.available_memory import available_memory_bytes
from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config

_FLOAT_BYTES = 4
_TRAINED = 3
"""Numbers stored for each trained weight: the weight and Adam's two moments."""


class NetworkMemoryError(InputError):
    """The requested networks do not fit into this machine's memory."""


def refuse_if_too_large(config: AlgorithmConfig) -> None:
    """Raise NetworkMemoryError if networks of these hidden sizes do not fit into memory.

    An estimate: inputs and outputs count as one unit each, because hidden layers dominate.
    """
    weights = sum(inputs * outputs for inputs, outputs in pairwise((1, *config.hidden_sizes, 1)))
    needed = weights * _copies(config) * _FLOAT_BYTES
    available = available_memory_bytes()
    # Checked in advance: Linux overcommits memory and kills the process later.
    if needed > available:
        raise NetworkMemoryError(
            f"networks with hidden sizes {list(config.hidden_sizes)} need"
            f" {needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are available; use smaller"
            " hidden_sizes (the SAC papers use [256, 256])"
        )


def _copies(config: AlgorithmConfig) -> int:
    """Return the numbers stored per weight, summed over all networks of a learner."""
    actor = _TRAINED
    match config:
        case SACConfig():
            return actor + config.num_critics * (_TRAINED + 1)
        case SACV1Config():  # the value network has a target, the two critics have none
            return actor + (_TRAINED + 1) + 2 * _TRAINED
        case _:
            return actor + 2 * (_TRAINED + 1)
