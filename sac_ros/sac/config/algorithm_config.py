"""The algorithms by name, and the hyperparameter class of each."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config

AlgorithmName: TypeAlias = Literal["sac", "sac_v1", "sac_discrete"]
AlgorithmConfig: TypeAlias = SACConfig | SACV1Config | SACDiscreteConfig
"""The hyperparameters of one algorithm. No two classes have the same set of fields."""

CONFIGS: Mapping[AlgorithmName, type[AlgorithmConfig]] = {
    "sac": SACConfig,
    "sac_v1": SACV1Config,
    "sac_discrete": SACDiscreteConfig,
}


def algorithm_of(config: AlgorithmConfig) -> AlgorithmName:
    """Return the name of the algorithm that `config` belongs to."""
    return next(name for name, cls in CONFIGS.items() if type(config) is cls)
