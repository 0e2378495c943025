"""The hyperparameters of SAC v1 (2018); config/sac_v1.yaml has the same keys."""

from dataclasses import dataclass

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACV1Config(LearnerConfig):
    """Hyperparameters of SAC v1; the defaults are table 1 of arXiv 1801.01290."""

    value_learning_rate: float = 3.0e-4
    """Adam step size of the state-value network."""
    reward_scale: float = 5.0
    """Factor on every reward. It replaces the temperature: alpha is 1 / reward_scale."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        super().__post_init__()
        self._refuse_unless_positive("value_learning_rate", "reward_scale")
