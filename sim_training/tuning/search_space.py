"""The search space of hyperparameters: ranges and choices from a file, checked before any trial."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias, cast

from optuna.trial import Trial

from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, read_mapping, to_mapping

Scalar: TypeAlias = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The values one hyperparameter may take: a range from low to high, or choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    """Whether to sample on a logarithmic scale."""
    choices: tuple[Scalar | tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError unless this is either a valid range or a list of choices."""
        is_range = self.low is not None and self.high is not None
        if is_range == (self.choices is not None) or (self.low is None) != (self.high is None):
            raise ValueError("give either low and high, or choices")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and not (self.low is not None and self.low > 0.0):
            raise ValueError("log needs a range whose low is above 0")
        if self.choices is not None and len(self.choices) < 2:
            raise ValueError(f"choices must be two or more, got {len(self.choices)}")

    @property
    def extremes(self) -> tuple[object, ...]:
        """The values to validate: if the ends of a range are valid, so are all values between."""
        return (self.low, self.high) if self.choices is None else self.choices


SearchSpace: TypeAlias = Mapping[str, Candidates]
"""Hyperparameter name -> its candidates."""


def read_search_space(path: Path, base: AlgorithmConfig) -> SearchSpace:
    """Read and check a search space; `base` has the values of all other hyperparameters.

    Raises ConfigError, naming file and key, if the space allows an invalid value.
    """
    content = read_mapping(path)
    known = [field.name for field in fields(base)]
    if unknown := [name for name in content if name not in known]:
        raise ConfigError(f"{path}: unknown hyperparameters {unknown}; known ones are {known}")
    if not content:
        raise ConfigError(f"{path} is empty; name at least one hyperparameter to search")
    space = {
        name: parse_mapping(item, Candidates, f"{path}: {name}") for name, item in content.items()
    }
    for name, candidates in space.items():
        for value in candidates.extremes:
            with_values(base, {name: value}, f"{path}: {name}")
    return space


def suggest(trial: Trial, space: SearchSpace, base: AlgorithmConfig) -> dict[str, object]:
    """Let the study's sampler choose a value for every searched hyperparameter."""
    values: dict[str, object] = {}
    for name, candidates in space.items():
        if candidates.choices is not None:
            # Optuna stores scalars only, so lists such as hidden_sizes are passed as JSON.
            texts = [json.dumps(choice) for choice in candidates.choices]
            values[name] = json.loads(trial.suggest_categorical(name, texts))
            continue
        low, high = cast(float, candidates.low), cast(float, candidates.high)
        if isinstance(getattr(base, name), int):
            values[name] = trial.suggest_int(name, int(low), int(high), log=candidates.log)
        else:
            values[name] = trial.suggest_float(name, low, high, log=candidates.log)
    return values


def with_values(base: AlgorithmConfig, values: Mapping[str, object], where: str) -> AlgorithmConfig:
    """Return `base` with some hyperparameters replaced; raise ConfigError if one is invalid."""
    mapping = cast(dict[str, object], to_mapping(replace(base)))
    for name, value in values.items():
        # Candidates stores the ends of a range as floats, also for integer hyperparameters.
        if isinstance(value, float) and isinstance(getattr(base, name), int):
            mapping[name] = int(value) if value.is_integer() else value
        else:
            mapping[name] = value
    return parse_mapping(mapping, type(base), where)
