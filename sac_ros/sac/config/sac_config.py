"""The hyperparameters of the SAC learner; config/sac.yaml maps to them one to one."""

import math
from dataclasses import dataclass

from sac_ros.sac.config.learner_config import LearnerConfig


@dataclass(frozen=True, kw_only=True)
class SACConfig(LearnerConfig):
    """Hyperparameters of one SAC learner; the defaults are the published ones."""

    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    num_critics: int = 2
    """Critics whose minimum is the target, at least 2."""
    critic_layer_norm: bool = False
    """Whether critics normalise each hidden layer, which lets them bear many updates per step."""
    initial_alpha: float = 1.0
    """Entropy temperature at the first update; unused with `fixed_alpha`."""
    fixed_alpha: float | None = None
    """Temperature that is never adjusted; None means that it is learned."""
    target_entropy: float | None = None
    """Nats of the squashed action; None means minus the action dimension."""

    def __post_init__(self) -> None:
        """Refuse, by name, a value that cannot work."""
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
