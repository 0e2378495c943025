"""The algorithms by name, each with the class of its hyperparameters."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.sac.config.sac_v1_config import SACV1Config

AlgorithmName: TypeAlias = Literal["sac", "sac_v1", "sac_discrete"]
AlgorithmConfig: TypeAlias = SACConfig | SACV1Config | SACDiscreteConfig
"""The hyperparameters of one algorithm; no two of these classes have the same fields."""

CONFIGS: Mapping[AlgorithmName, type[AlgorithmConfig]] = {
    "sac": SACConfig,
    "sac_v1": SACV1Config,
    "sac_discrete": SACDiscreteConfig,
}


def algorithm_of(config: AlgorithmConfig) -> AlgorithmName:
    """Return the name of the algorithm whose hyperparameters these are."""
    return next(name for name, cls in CONFIGS.items() if type(config) is cls)
