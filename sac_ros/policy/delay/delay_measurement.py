"""Delays of one robot as measured: the YAML that the policy node writes and training reads."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from sac_ros.task.strict_yaml import read_yaml, to_mapping


@dataclass(frozen=True, kw_only=True)
class DelayRange:
    """A delay in s, and where it lies with 95 % confidence, or in 90 % of the messages."""

    best: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        if not 0.0 <= self.low <= self.best <= self.high < float("inf"):
            raise ValueError(
                f"a delay must have 0 <= low <= best <= high, got {self.low}, {self.best},"
                f" {self.high}"
            )


@dataclass(frozen=True, kw_only=True)
class DelayMeasurement:
    """What lies between a command and the arrival of its effect.

    For a policy only the sum counts: a Markov decision process with its observations delayed and
    one with its actions delayed as much are the same (Katsikopoulos and Engelbrecht, IEEE
    Transactions on Automatic Control 48(4), 2003).
    """

    task: str
    duration_s: float
    """How long was listened."""
    explained: float
    """Share, in [0, 1], of the motion's unexplained rest that commands explain: how clear it is."""
    command_delay_s: DelayRange
    """From sending a command until the robot does something else."""
    sensor_delay_s: DelayRange
    """From a message's stamp to its arrival; zero where the stamps are of another clock, and the
    command's delay is then the sum."""


def read_delays(path: Path) -> DelayMeasurement:
    """Read a measurement; raise ConfigError with file and key."""
    return read_yaml(path, DelayMeasurement)


def delays_text(measurement: DelayMeasurement) -> str:
    """Return the measurement as YAML."""
    head = "# Measured by policy_node; for sac-ros train --delays.\n"
    return head + yaml.safe_dump(to_mapping(measurement), sort_keys=False)
