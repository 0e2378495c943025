"""Another robot in every episode: what a policy has learned on many, it does on one more.

Tobin et al., Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real
World, arXiv 1703.06907; of the dynamics: Peng et al., arXiv 1710.06537.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from sac_ros.policy.delay.delay_measurement import DelayMeasurement
from sim_training.robot.perturbation import Perturbation

Range = tuple[float, float]
"""Least and greatest value."""

FACTORS = ("gravity", "friction", "body_mass", "actuator_gain", "joint_damping")


@dataclass(frozen=True, kw_only=True)
class DomainRandomization:
    """Ranges that each training episode draws its robot from; evaluations do not.

    Factors are log-uniform (half as strong is drawn as often as twice), all else uniform. They come
    on top of the run's perturbation, and mean what sim_training/robot/perturbation.py says.
    """

    gravity: Range = (1.0, 1.0)
    """Factor on the gravitational acceleration."""
    friction: Range = (1.0, 1.0)
    """Factor on the sliding friction of every geom."""
    body_mass: Range = (1.0, 1.0)
    """Factor on mass and inertia of every body."""
    actuator_gain: Range = (1.0, 1.0)
    """Factor on what every actuator makes of its command; a servo's stiffness."""
    joint_damping: Range = (1.0, 1.0)
    """Factor on the damping of every joint."""
    command_delay_s: Range = (0.0, 0.0)
    """Time between a command and its effect, in s."""
    observation_delay_s: Range = (0.0, 0.0)
    """Age of what the sensors say, in s."""
    observation_noise: Range = (0.0, 0.0)
    """Standard deviation of the noise on each measured position [rad, m] and velocity [1/s], and on
    what other sensors measure, in its unit; orientations have none."""
    push_force_n: Range = (0.0, 0.0)
    """Greatest force of the pushes of an episode, in N."""

    def __post_init__(self) -> None:
        """Refuse, by name, ranges that hold no robot."""
        for field in fields(self):
            low, high = getattr(self, field.name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"randomization {field.name} must be LOW HIGH, got {low} {high}")
            if low < 0.0 or (low == 0.0 and field.name in FACTORS):
                least = "above 0" if field.name in FACTORS else "at least 0"
                raise ValueError(f"randomization {field.name} must be {least}, got {low}")

    @property
    def is_none(self) -> bool:
        """Whether every episode has the same robot."""
        return self == NO_RANDOMIZATION

    def draw(self, robot: Perturbation, rng: np.random.Generator) -> Perturbation:
        """Draw a robot that differs from `robot`."""
        factors = {
            name: getattr(robot, name) * math.exp(rng.uniform(*np.log(getattr(self, name))))
            for name in FACTORS
        }
        sums = {
            field.name: getattr(robot, field.name) + rng.uniform(*getattr(self, field.name))
            for field in fields(self)
            if field.name not in FACTORS
        }
        return replace(robot, **factors, **sums)

    def with_delays(self, measured: DelayMeasurement) -> "DomainRandomization":
        """Return the same with the delays that were measured on a robot."""
        return replace(
            self,
            command_delay_s=(measured.command_delay_s.low, measured.command_delay_s.high),
            observation_delay_s=(measured.sensor_delay_s.low, measured.sensor_delay_s.high),
        )


NO_RANDOMIZATION = DomainRandomization()
