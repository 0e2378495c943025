"""The measured delays of a robot: the YAML file that the policy node writes and training reads."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from sac_ros.task.strict_yaml import read_yaml, to_mapping


@dataclass(frozen=True, kw_only=True)
class DelayRange:
    """A delay in s with its range: 95 % confidence, or 90 % of the messages."""

    best: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Raise ValueError unless 0 <= low <= best <= high."""
        if not 0.0 <= self.low <= self.best <= self.high < float("inf"):
            raise ValueError(
                f"a delay must have 0 <= low <= best <= high, got {self.low}, {self.best},"
                f" {self.high}"
            )


@dataclass(frozen=True, kw_only=True)
class DelayMeasurement:
    """The delays between a command and the arrival of its effect.

    Only their sum matters to a policy: a Markov decision process with delayed observations is
    equivalent to one with equally delayed actions (Katsikopoulos and Engelbrecht, IEEE Transactions
    on Automatic Control 48(4), 2003).
    """

    task: str
    duration_s: float
    """Duration of the recording."""
    explained: float
    """Fraction, in [0, 1], of the residual motion that commands explain; higher is more certain."""
    command_delay_s: DelayRange
    """Time from sending a command to its effect on the robot."""
    sensor_delay_s: DelayRange
    """Time from a message's stamp to its arrival. Zero if the stamps are from another clock; then
    command_delay_s is the sum of both delays."""


def read_delays(path: Path) -> DelayMeasurement:
    """Read a measurement; raise ConfigError with file and key."""
    return read_yaml(path, DelayMeasurement)


def delays_text(measurement: DelayMeasurement) -> str:
    """Return the measurement as YAML."""
    head = "# Measured by policy_node; for sac-ros train --delays.\n"
    return head + yaml.safe_dump(to_mapping(measurement), sort_keys=False)
