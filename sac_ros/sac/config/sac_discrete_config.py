"""The hyperparameters of SAC with discrete actions; config/sac_discrete.yaml has the same keys."""

import math
from dataclasses import dataclass
from typing import Literal

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACDiscreteConfig(LearnerConfig):
    """Hyperparameters of SAC with discrete actions; config/sac_atari.yaml has those for Atari."""

    encoder: Literal["mlp", "nature_cnn"] = "mlp"
    """Input layers: mlp for vectors, nature_cnn (convolutions) for images of 84x84 pixels."""
    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    adam_epsilon: float = 1.0e-4
    """Adam's epsilon; larger than the usual 1e-8, for stability. Lower it if rewards are small or
    rare: gradients far below epsilon barely change the weights, and learning stops."""
    initial_alpha: float = 1.0
    """Entropy temperature at the first update; unused with `fixed_alpha`."""
    fixed_alpha: float | None = None
    """Constant entropy temperature; None means that the temperature is learned."""
    target_entropy_scale: float = 0.89
    """Target entropy as a fraction, in (0, 1], of the maximum log(number of choices)."""
    target_update_interval: int = 1
    """Gradient updates between two updates of the target critics."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
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
