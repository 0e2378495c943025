"""The hyperparameters of SAC; config/sac.yaml has the same keys."""

import math
from dataclasses import dataclass

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACConfig(LearnerConfig):
    """Hyperparameters of SAC (arXiv 1812.05905); the defaults are those of the paper."""

    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    num_critics: int = 2
    """Number of critics, at least 2; the target uses the minimum of their Q values."""
    critic_layer_norm: bool = False
    """Layer normalisation in the critics; needed for a utd_ratio well above 1."""
    initial_alpha: float = 1.0
    """Entropy temperature at the first update; unused with `fixed_alpha`."""
    fixed_alpha: float | None = None
    """Constant entropy temperature; None means that the temperature is learned."""
    target_entropy: float | None = None
    """Target entropy of the squashed action in nats; None means minus the action dimension."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        super().__post_init__()
        self._refuse_unless_positive("alpha_learning_rate", "initial_alpha")
        self._refuse_unless(self.num_critics >= 2, "num_critics", "at least 2")
        self._refuse_unless(
            self.fixed_alpha is None
            or (self.fixed_alpha >= 0.0 and math.isfinite(self.fixed_alpha)),
            "fixed_alpha",
            "None or non-negative and finite",
        )
        self._refuse_unless(
            self.target_entropy is None or math.isfinite(self.target_entropy),
            "target_entropy",
            "None or finite",
        )
