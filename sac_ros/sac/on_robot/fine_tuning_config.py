"""Settings of learning on a robot; config/fine_tuning.yaml maps to them one to one."""

import math
from dataclasses import dataclass, replace

from sac_ros.sac.config.sac_config import SACConfig


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """The recipe; what it does not name (discount, network sizes) is the simulator run's own."""

    warmup_steps: int = 1_000
    """Robot steps with the policy as it came and no update: the baseline, and first data."""
    critic_steps: int = 1_000
    """Robot steps after the warm-up in which only the critics learn."""
    utd_ratio: float = 1.0
    """Updates per robot step; those of the warm-up run after it."""
    max_updates_owed: int = 10_000
    """Most updates that may wait on a slow machine; those beyond it are dropped and counted."""
    batch_size: int = 256
    """Transitions per update."""
    prior_share: float = 0.5
    """Share of each batch that is drawn from the prior buffer, when learning begins."""
    prior_anneal_steps: int = 15_000
    """Robot steps after which that share has fallen to `prior_share_end`, linearly."""
    prior_share_end: float = 0.0
    """Share of the prior buffer from then on."""
    demonstration_share: float = 0.25
    """Share of each batch from what people did; the prior's share is of the rest."""
    actor_learning_rate: float = 3.0e-4
    """Adam step size of the actor."""
    critic_learning_rate: float = 3.0e-4
    """Adam step size of the critics."""
    alpha: float | None = 0.01
    """Entropy temperature at the start; None keeps the simulator's."""
    is_alpha_fixed: bool = False
    """Whether the temperature stays there, or is learned towards the target entropy."""
    alpha_learning_rate: float = 3.0e-4
    """Adam step size of the logarithm of the temperature."""
    target_entropy: float | None = None
    """Nats; None means minus the action dimension."""
    tau: float = 0.005
    """Share of the critic that its target takes on at each update."""
    buffer_capacity: int = 1_000_000
    """Transitions of the robot that are kept, in memory and on disk."""

    def __post_init__(self) -> None:
        """Refuse, by name, a value that cannot work; the learner refuses its own."""
        for name in ("warmup_steps", "critic_steps", "prior_anneal_steps"):
            self._refuse_unless(getattr(self, name) >= 0, name, "at least 0")
        for name in ("prior_share", "prior_share_end", "demonstration_share"):
            self._refuse_unless(0.0 <= getattr(self, name) <= 1.0, name, "in [0, 1]")
        self._refuse_unless(
            self.utd_ratio > 0.0 and math.isfinite(self.utd_ratio), "utd_ratio", "positive"
        )
        self._refuse_unless(self.max_updates_owed >= 1, "max_updates_owed", "at least 1")
        self._refuse_unless(
            self.alpha is None or (self.alpha > 0.0 and math.isfinite(self.alpha)),
            "alpha",
            "None or positive",
        )

    def learner_config(self, trained_with: SACConfig) -> SACConfig:
        """Return what the learner on the robot is made with; raise ValueError by field."""
        return replace(
            trained_with,
            actor_learning_rate=self.actor_learning_rate,
            critic_learning_rate=self.critic_learning_rate,
            alpha_learning_rate=self.alpha_learning_rate,
            batch_size=self.batch_size,
            initial_alpha=trained_with.initial_alpha if self.alpha is None else self.alpha,
            fixed_alpha=self.alpha if self.is_alpha_fixed else None,
            target_entropy=self.target_entropy,
            tau=self.tau,
            utd_ratio=self.utd_ratio,
            buffer_capacity=self.buffer_capacity,
        )

    def prior_share_at(self, robot_steps: int) -> float:
        """Return the share of the prior buffer in a batch after so many robot steps."""
        if self.prior_anneal_steps == 0:
            return self.prior_share_end
        progress = min(1.0, robot_steps / self.prior_anneal_steps)
        return self.prior_share + progress * (self.prior_share_end - self.prior_share)

    def _refuse_unless(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"{name} must be {expected}, got {getattr(self, name)}")
