"""How a robot differs from the simulator a policy was trained in.

The same record perturbs the robot that speaks ROS 2 and the environment that trains: what a policy
meets on one it meets on the other.
"""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """Factors on what the model says, and what lies between the model and its driver."""

    gravity: float = 1.0
    """Factor on the gravitational acceleration."""
    friction: float = 1.0
    """Factor on the sliding friction of every geom."""
    body_mass: float = 1.0
    """Factor on mass and inertia of every body."""
    actuator_gain: float = 1.0
    """Factor on what every actuator makes of its command; a servo's stiffness."""
    joint_damping: float = 1.0
    """Factor on the damping of every joint."""
    joint_range: float = 1.0
    """Factor on the distance of each joint limit from the start pose."""
    command_delay_steps: int = 0
    """Control steps between a command's arrival and its effect; until then the safe command."""
    command_delay_s: float = 0.0
    """The same in s, added to it, and rounded to physics steps."""
    observation_delay_s: float = 0.0
    """Age of what the sensors say, in s, rounded to physics steps."""
    observation_noise: float = 0.0
    """Standard deviation of the noise on each measured position [rad, m] and velocity [1/s], and on
    what other sensors measure, in its unit; orientations have none."""
    push_force_n: float = 0.0
    """Greatest force on a random body, in N, for 0.1 s, every 2 s on average."""

    def __post_init__(self) -> None:
        """Refuse, by name, what no robot can be."""
        for name in (
            "gravity", "friction", "joint_damping", "observation_noise", "command_delay_s",
            "observation_delay_s", "push_force_n",
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
        """Name what is changed, such as `gravity 1.5`."""
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
