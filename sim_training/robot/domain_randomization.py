"""Domain randomisation: every training episode has a robot with different parameters.

Tobin et al., Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real
World, arXiv 1703.06907; randomised dynamics: Peng et al., arXiv 1710.06537.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from sac_ros.policy.delay.delay_measurement import DelayMeasurement
from sim_training.robot.perturbation import Perturbation

Range = tuple[float, float]
"""Lowest and highest value."""

FACTORS = ("gravity", "friction", "body_mass", "actuator_gain", "joint_damping")


@dataclass(frozen=True, kw_only=True)
class DomainRandomization:
    """Ranges from which each training episode samples its robot; evaluations are not randomised.

    Factors are log-uniform: 1/2 is as likely as 2. Other values are uniform. Factors multiply the
    run's perturbation, other values are added; see sim_training/robot/perturbation.py.
    """

    gravity: Range = (1.0, 1.0)
    """Factor on the gravitational acceleration."""
    friction: Range = (1.0, 1.0)
    """Factor on the sliding friction of every geom."""
    body_mass: Range = (1.0, 1.0)
    """Factor on mass and inertia of every body."""
    actuator_gain: Range = (1.0, 1.0)
    """Factor on the gain of every actuator; for a servo, on its stiffness."""
    joint_damping: Range = (1.0, 1.0)
    """Factor on the damping of every joint."""
    command_delay_s: Range = (0.0, 0.0)
    """Time between a command and its effect, in s."""
    observation_delay_s: Range = (0.0, 0.0)
    """Delay of all sensor readings, in s."""
    observation_noise: Range = (0.0, 0.0)
    """Standard deviation of the noise on each joint position [rad, m] and velocity [rad/s, m/s],
    and on other sensor values in their unit; orientations have no noise."""
    push_force_n: Range = (0.0, 0.0)
    """Maximum force of the random pushes in an episode, in N."""
    command_stall_s: Range = (0.0, 0.0)
    """Longest scheduling stall in an episode, in s; the actuators hold the last command."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for an invalid range."""
        for field in fields(self):
            low, high = getattr(self, field.name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"randomization {field.name} must be LOW HIGH, got {low} {high}")
            if low < 0.0 or (low == 0.0 and field.name in FACTORS):
                bound = "above 0" if field.name in FACTORS else "at least 0"
                raise ValueError(f"randomization {field.name} must be {bound}, got {low}")

    @property
    def is_none(self) -> bool:
        """Whether nothing is randomised."""
        return self == NO_RANDOMIZATION

    def draw(self, robot: Perturbation, rng: np.random.Generator) -> Perturbation:
        """Sample a robot from the ranges, relative to `robot`."""
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
        """Return a copy with the delay ranges that were measured on a robot."""
        return replace(
            self,
            command_delay_s=(measured.command_delay_s.low, measured.command_delay_s.high),
            observation_delay_s=(measured.sensor_delay_s.low, measured.sensor_delay_s.high),
        )


NO_RANDOMIZATION = DomainRandomization()
