"""The hyperparameters of SAC with discrete actions; config/sac_discrete.yaml maps to them."""

import math
from dataclasses import dataclass
from typing import Literal

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACDiscreteConfig(LearnerConfig):
    """Hyperparameters of one SAC-discrete learner; config/sac_atari.yaml has those for Atari."""

    encoder: Literal["mlp", "nature_cnn"] = "mlp"
    """What comes before the hidden layers: nothing, or convolutions over images of 84x84 pixels."""
    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    adam_epsilon: float = 1.0e-4
    """Added to Adam's divisor: larger than usual, for stability. Where rewards are small or rare,
    gradients are smaller still, and it stops learning: lower it."""
    initial_alpha: float = 1.0
    """Entropy temperature at the first update; unused with `fixed_alpha`."""
    fixed_alpha: float | None = None
    """Temperature that is never adjusted; None means that it is learned."""
    target_entropy_scale: float = 0.89
    """Target entropy as a share, in (0, 1], of the greatest: that of all choices alike."""
    target_update_interval: int = 1
    """Updates between two moves of the target critics."""

    def __post_init__(self) -> None:
        """Refuse, by name, a value that cannot work."""
        super().__post_init__()
        self._refuse_unless_positive("alpha_learning_rate", "adam_epsilon", "initial_alpha")
        self._refuse_unless(
            self.fixed_alpha is None
            or (self.fixed_alpha >= 0.0 and math.isfinite(self.fixed_alpha)),
            "fixed_alpha",
            "None or non-negative and finite",
        )
        self._refuse_unless(
            0.0 < self.target_entropy_scale <= 1.0, "target_entropy_scale", "in (0, 1]"
        )
        self._refuse_unless(
            self.target_update_interval >= 1, "target_update_interval", "at least 1"
        )
