"""The hyperparameters of one SAC learner; config/sac.yaml maps to them one to one."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SACConfig:
    """Hyperparameters of one SAC learner; the defaults are the published ones."""

    gamma: float = 0.99
    """Discount per control step, in (0, 1)."""
    tau: float = 0.005
    """Share of the critic that its target takes on at each update, in (0, 1]."""
    actor_learning_rate: float = 3.0e-4
    """Adam step size of the actor."""
    critic_learning_rate: float = 3.0e-4
    """Adam step size of the critics."""
    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    batch_size: int = 256
    """Transitions per update."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Width of each hidden layer, for the actor and for every critic."""
    num_critics: int = 2
    """Critics whose minimum is the target, at least 2."""
    initial_alpha: float = 1.0
    """Entropy temperature at the first update; unused with `fixed_alpha`."""
    fixed_alpha: float | None = None
    """Temperature that is never adjusted; None means that it is learned."""
    target_entropy: float | None = None
    """Nats of the squashed action; None means minus the action dimension."""
    buffer_capacity: int = 1_000_000
    """Transitions that the replay buffer keeps."""
    learning_starts: int = 5_000
    """Environment steps with uniformly random actions before the first update."""
    utd_ratio: float = 1.0
    """Updates per environment step."""

    def __post_init__(self) -> None:
        """Refuse, by name, a value that cannot work."""
        self._refuse_unless(0.0 < self.gamma < 1.0, "gamma", "in (0, 1)")
        self._refuse_unless(0.0 < self.tau <= 1.0, "tau", "in (0, 1]")
        for name in (
            "actor_learning_rate",
            "critic_learning_rate",
            "alpha_learning_rate",
            "initial_alpha",
            "utd_ratio",
        ):
            value = getattr(self, name)
            self._refuse_unless(value > 0.0 and math.isfinite(value), name, "positive and finite")
        self._refuse_unless(self.batch_size >= 1, "batch_size", "at least 1")
        self._refuse_unless(
            len(self.hidden_sizes) >= 1 and min(self.hidden_sizes) >= 1,
            "hidden_sizes",
            "one or more widths of at least 1",
        )
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
        self._refuse_unless(
            self.buffer_capacity >= self.batch_size, "buffer_capacity", "at least batch_size"
        )
        self._refuse_unless(self.learning_starts >= 0, "learning_starts", "at least 0")

    def _refuse_unless(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")
