"""The command line of `sac-ros train`: settings, output folder, and whether to resume."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import AvoidSubcommands

from sac_ros.policy.delay.delay_measurement import read_delays
from sac_ros.sac.config.algorithm_config import CONFIGS
from sac_ros.task.strict_yaml import ConfigError, read_yaml
from sim_training.robot.domain_randomization import DomainRandomization
from sim_training.terminal.options import OptionError, parse_options
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_config import TrainingConfig, refuse_changes, resolve_execution


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `sac-ros train`; `training` has the settings that are stored with the run."""

    training: Annotated[TrainingConfig, tyro.conf.arg(name=""), AvoidSubcommands] = field(
        default_factory=TrainingConfig
    )
    out: Path | None = None
    """Run folder; None means runs/TASK_SEED."""
    resume: bool = False
    """Resume the run in the --out folder exactly; its stored settings are the defaults."""
    config: Path | None = None
    """YAML file with hyperparameters, such as config/sac.yaml; options override it."""
    randomize: Path | None = None
    """YAML file with domain randomisation ranges, such as config/randomization.yaml;
    --randomization options override it."""
    delays: Path | None = None
    """YAML file with delays that policy_node measured (parameter measure_delay_s); training
    randomises delays within these ranges."""
    seeds: tuple[int, ...] | None = None
    """Instead of --seed: train one run per seed in parallel, in OUT/seed_N. OUT defaults to
    runs/TASK_seeds. Each run uses one thread unless --threads is given."""
    jobs: int | None = None
    """With --seeds: how many runs train at the same time; None means one per processor core."""

    def __post_init__(self) -> None:
        """Raise ValueError for seeds that cannot be trained in parallel."""
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.seeds is None:
            if self.jobs is not None:
                raise ValueError("jobs needs seeds: add --seeds 1 2 3, or remove --jobs")
            return
        if not self.seeds:
            raise ValueError("seeds must be one or more numbers, such as --seeds 1 2 3")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different from one another, got {self.seeds}")
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds must be in [0, 2^32), got {self.seeds}")


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A training run with all settings resolved."""

    config: TrainingConfig
    folder: RunFolder
    resume: bool


def read_train_options(argv: Sequence[str]) -> TrainOptions:
    """Parse a command line over the built-in defaults; raise OptionError."""
    return _parse(argv, _default_of(_given_algorithm(argv)))


def read_train_request(argv: Sequence[str]) -> TrainRequest:
    """Resolve a command line: options override --config or the resumed run, then defaults apply.

    Raises OptionError, ConfigError or RunFolderError.
    """
    options = read_train_options(argv)
    default = _default_of(_given_algorithm(argv))
    folder = RunFolder(options.out or default_folder(options.training, str(options.training.seed)))
    if options.resume:
        folder.require_checkpoint()
        default = _stored_config(folder, _given_algorithm(argv))
    if options.config is not None:
        default = replace(default, sac=read_yaml(options.config, CONFIGS[default.algorithm]))
    default = replace(default, randomization=_randomization(options, default))
    config = _parse(argv, default).training
    # Stored resolved, so that a run resumed on another machine keeps its precision.
    config = replace(config, precision=resolve_execution(config).precision)
    if options.resume:
        refuse_changes(folder.read_config(), config, str(folder.path))
    else:
        folder.refuse_other_run()
    return TrainRequest(config=config, folder=folder, resume=options.resume)


def _randomization(options: TrainOptions, default: TrainingConfig) -> DomainRandomization:
    ranges = default.randomization
    if options.randomize is not None:
        ranges = read_yaml(options.randomize, DomainRandomization)
    if options.delays is not None:
        ranges = ranges.with_delays(read_delays(options.delays))
    return ranges


def _given_algorithm(argv: Sequence[str]) -> str | None:
    """Return the value of --algorithm, which decides what other options exist."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--algorithm")
    try:
        given: str | None = parser.parse_known_args(argv)[0].algorithm
    except argparse.ArgumentError:  # no value given; the full parser reports it
        return None
    return given


def _stored_config(folder: RunFolder, algorithm: str | None) -> TrainingConfig:
    stored = folder.read_config()
    if algorithm not in (None, stored.algorithm):
        raise ConfigError(
            f"the run in {folder.path} uses {stored.algorithm}, not {algorithm}; remove --algorithm"
            " to resume it, or start a new run in another --out"
        )
    return stored


def _default_of(algorithm: str | None) -> TrainingConfig:
    for name, cls in CONFIGS.items():
        if name == algorithm:
            return TrainingConfig(algorithm=name, sac=cls())
    return TrainingConfig()


def _parse(argv: Sequence[str], default: TrainingConfig) -> TrainOptions:
    return parse_options(
        TrainOptions,
        argv,
        prog="sac-ros train",
        description="Train a policy in simulation and export it as RUN/policy.onnx.",
        default=TrainOptions(training=default),
    )


def default_folder(config: TrainingConfig, what: str) -> Path:
    """Return runs/TASK_what; raise OptionError where no task is given."""
    if config.task is None and config.env is None:
        raise OptionError(
            "no task given; give --task half_cheetah, --env Pendulum-v1, or the --out folder of a"
            " run to --resume"
        )
    name = Path(config.task).stem if config.task is not None else str(config.env)
    return Path("runs") / f"{name.replace(':', '_').replace('/', '_')}_{what}"
