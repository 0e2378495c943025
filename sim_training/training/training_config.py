"""The settings of one training run; RUN/config.yaml has the same keys."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from sac_ros.sac.compute.execution import Execution
from sac_ros.sac.compute.precision import has_fast_bfloat16
from sac_ros.sac.config.algorithm_config import AlgorithmConfig, AlgorithmName, algorithm_of
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.task.strict_yaml import ConfigError, to_mapping
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.environments.env import gymnasium_task
from sim_training.robot.domain_randomization import DomainRandomization
from sim_training.robot.perturbation import Perturbation

CHANGEABLE_ON_RESUME = frozenset(
    {"steps", "eval_every", "eval_episodes", "checkpoint_every", "log_every", "stop_at_return"}
)
"""Settings that may change on resume: none of them affects the result of a training step."""

MAX_THREADS = 256
"""More than any update can use; torch fails with a traceback beyond the system's limit."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one SAC run in simulation."""

    task: str | None = None
    """Name of a task (inverted_pendulum, half_cheetah, hopper, walker2d), or a task file."""
    env: str | None = None
    """Instead of a task: id of a Gymnasium environment with Box observations."""
    algorithm: AlgorithmName = "sac"
    """sac: SAC of 2019 with a learned temperature; sac_v1: SAC of 2018 with a state-value network;
    sac_discrete: SAC for discrete actions."""
    steps: int = 1_000_000
    """Environment steps in total, summed over all environments."""
    seed: int = 1
    """Seed of networks, noise, replay sampling and environments; it makes a run repeatable."""
    num_envs: int = 1
    """Number of environments stepped together; each counts as one environment step."""
    eval_every: int = 10_000
    """Environment steps between evaluations; one more follows the last step."""
    eval_episodes: int = 10
    """Episodes per evaluation, with deterministic actions, in separate environments."""
    stop_at_return: float | None = None
    """Stop when every episode of two evaluations in a row reaches this return."""
    checkpoint_every: int = 10_000
    """Environment steps between checkpoints; Ctrl-C and the end of the run save one too."""
    log_every: int = 1_000
    """Environment steps between two logged points of the loss curves."""
    device: str = "cpu"
    """The torch device of the networks: cpu, cuda, cuda:1."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of matrix products in hidden layers; auto uses bfloat16 where the processor has
    instructions for it."""
    compiled: bool = True
    """Whether each update runs as one compiled function; compiling takes up to a minute once."""
    threads: int | Literal["auto"] = "auto"
    """Threads of an update; auto measures repeatedly which number is fastest."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Changes of the robot's model, for training and evaluation."""
    randomization: DomainRandomization = field(default_factory=DomainRandomization)
    """Domain randomisation: ranges from which each training episode draws its robot. Evaluations
    use the robot without it."""
    sac: AlgorithmConfig = field(default_factory=SACConfig)
    """The algorithm's hyperparameters."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        for name in (
            "steps", "num_envs", "eval_every", "eval_episodes", "checkpoint_every", "log_every",
            "threads",
        ):  # fmt: skip
            if getattr(self, name) != "auto" and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.threads != "auto" and self.threads > MAX_THREADS:
            raise ValueError(f"threads must be at most {MAX_THREADS}, got {self.threads}")
        if self.algorithm != (given := algorithm_of(self.sac)):
            raise ValueError(
                f"algorithm is {self.algorithm}, but the hyperparameters belong to {given}"
            )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2^32), got {self.seed}")
        if self.stop_at_return is not None and not math.isfinite(self.stop_at_return):
            raise ValueError(f"stop_at_return must be finite, got {self.stop_at_return}")
        if self.num_envs > self.sac.buffer_capacity:
            raise ValueError(
                f"num_envs must be at most buffer_capacity ({self.sac.buffer_capacity}),"
                f" got {self.num_envs}"
            )


def resolve_execution(config: TrainingConfig) -> Execution:
    """Return device, precision and compilation; raise ConfigError for an unavailable device."""
    try:
        device = torch.device(config.device)
    except RuntimeError as error:
        raise ConfigError(f"device {config.device!r} is unknown; use cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {config.device!r} is not supported; use cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {config.device!r} is not available: this machine has"
            f" {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    return Execution(device=config.device, precision=precision, compiled=config.compiled)


def resolve_task(config: TrainingConfig) -> TaskSpec:
    """Return the task to train: from a task file, or generated for a Gymnasium environment."""
    if config.task is not None and config.env is None:
        return load_task(config.task)
    if config.env is not None and config.task is None:
        return gymnasium_task(config.env)
    given = "neither" if config.task is None else "both"
    raise ConfigError(
        f"{given} of task and env given, expected exactly one: --task half_cheetah, or"
        " --env Pendulum-v1"
    )


def refuse_changes(stored: TrainingConfig, wanted: TrainingConfig, where: str) -> None:
    """Raise ConfigError if a setting that affects the result differs from the stored run."""
    before, now = flatten_settings(to_mapping(stored)), flatten_settings(to_mapping(wanted))
    changes = [
        f"{name} was {before[name]} and is now {now[name]}"
        for name in before
        if before[name] != now[name] and name not in CHANGEABLE_ON_RESUME
    ]
    if changes:
        raise ConfigError(
            f"{where} cannot resume with other settings: {', '.join(changes)}; remove these options"
            " to resume, or start a new run in another --out"
        )


def flatten_settings(value: object, prefix: str = "") -> dict[str, object]:
    """Flatten nested settings to one level: {"sac": {"tau": 0.1}} becomes {"sac.tau": 0.1}."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, item in value.items():
        flat.update(flatten_settings(item, f"{prefix}.{key}" if prefix else str(key)))
    return flat
