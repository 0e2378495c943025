"""The hyperparameters that all algorithms share, with the checks of their ranges."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """Hyperparameters of every SAC variant; the defaults are those of both SAC papers."""

    gamma: float = 0.99
    """Discount per control step, in (0, 1)."""
    tau: float = 0.005
    """Step of the target update, in (0, 1]: target = (1 - tau) target + tau network."""
    actor_learning_rate: float = 3.0e-4
    """Adam step size of the actor."""
    critic_learning_rate: float = 3.0e-4
    """Adam step size of the critics."""
    batch_size: int = 256
    """Transitions per update."""
    hidden_sizes: tuple[int, ...] = (256, 256)
    """Width of each hidden layer of every network."""
    buffer_capacity: int = 1_000_000
    """Maximum number of transitions in the replay buffer; the oldest are replaced."""
    learning_starts: int = 5_000
    """Environment steps with uniformly random actions before the first update."""
    utd_ratio: float = 1.0
    """Update-to-data ratio: gradient updates per environment step."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        self._refuse_unless(0.0 < self.gamma < 1.0, "gamma", "in (0, 1)")
        self._refuse_unless(0.0 < self.tau <= 1.0, "tau", "in (0, 1]")
        self._refuse_unless_positive("actor_learning_rate", "critic_learning_rate", "utd_ratio")
        self._refuse_unless(self.batch_size >= 1, "batch_size", "at least 1")
        self._refuse_unless(
            len(self.hidden_sizes) >= 1 and min(self.hidden_sizes) >= 1,
            "hidden_sizes",
            "one or more widths of at least 1",
        )
        self._refuse_unless(
            self.buffer_capacity >= self.batch_size, "buffer_capacity", "at least batch_size"
        )
        self._refuse_unless(self.learning_starts >= 0, "learning_starts", "at least 0")

    def _refuse_unless_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._refuse_unless(value > 0.0 and math.isfinite(value), name, "positive and finite")

    def _refuse_unless(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")
