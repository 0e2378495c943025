"""Perturbations: how a simulated robot differs from its nominal model.

The training environment and the simulated robot node use the same class, so a policy meets the same
robot in both.
"""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Factors on model parameters, delays, sensor noise and pushes; the defaults change nothing."""

    gravity: float = 1.0
    """Factor on the gravitational acceleration."""
    friction: float = 1.0
    """Factor on the sliding friction of every geom."""
    body_mass: float = 1.0
    """Factor on mass and inertia of every body."""
    actuator_gain: float = 1.0
    """Factor on the gain of every actuator; for a servo, on its stiffness."""
    joint_damping: float = 1.0
    """Factor on the damping of every joint."""
    joint_range: float = 1.0
    """Factor on the distance of each joint limit from the start pose."""
    command_delay_steps: int = 0
    """Delay of commands in control steps; before the first one, the safe command acts."""
    command_delay_s: float = 0.0
    """Delay of commands in s, added to command_delay_steps and rounded to physics steps."""
    observation_delay_s: float = 0.0
    """Delay of all sensor readings in s, rounded to physics steps."""
    observation_noise: float = 0.0
    """Standard deviation of the noise on each joint position [rad, m] and velocity [rad/s, m/s],
    and on other sensor values in their unit; orientations have no noise."""
    push_force_n: float = 0.0
    """Maximum force, in N, of random pushes on random bodies: 0.1 s long, every 2 s on average."""
    command_stall_s: float = 0.0
    """Longest scheduling stall, in s: every 2 s on average, no command takes effect for up to this
    long, and the actuators hold the last one."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        for name in (
            "gravity", "friction", "joint_damping", "observation_noise", "command_delay_s",
            "observation_delay_s", "push_force_n", "command_stall_s",
        ):  # fmt: skip
            self._refuse_unless(getattr(self, name) >= 0.0, name, "at least 0")
        for name in ("body_mass", "actuator_gain", "joint_range"):
            self._refuse_unless(getattr(self, name) > 0.0, name, "positive")
        for field in fields(self):
            value = getattr(self, field.name)
            self._refuse_unless(math.isfinite(value), field.name, "finite")
        self._refuse_unless(self.command_delay_steps >= 0, "command_delay_steps", "at least 0")

    @property
    def is_nominal(self) -> bool:
        """Whether nothing is changed."""
        return self == NOMINAL

    def __str__(self) -> str:
        """Return the changed values, such as `gravity 1.5`, or `nominal`."""
        changed = [
            f"{field.name} {getattr(self, field.name):g}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return ", ".join(changed) or "nominal"

    def _refuse_unless(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ValueError(f"perturbation {name} must be {expected}, got {getattr(self, name)}")


NOMINAL = Perturbation()
