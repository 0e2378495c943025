"""The hyperparameters of the SAC of 2018; config/sac_v1.yaml maps to them one to one."""

from dataclasses import dataclass

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACV1Config(LearnerConfig):
    """Hyperparameters of one SAC v1 learner; the defaults are table 1 of arXiv 1801.01290."""

    value_learning_rate: float = 3.0e-4
    """Adam step size of the state-value network."""
    reward_scale: float = 5.0
    """Factor on every reward: the inverse of the temperature, which is fixed at 1."""

    def __post_init__(self) -> None:
        """Refuse, by name, a value that cannot work."""
        super().__post_init__()
        self._refuse_unless_positive("value_learning_rate", "reward_scale")
