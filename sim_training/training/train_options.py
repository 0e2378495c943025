"""The command line of `sac-ros train`: settings, where to write, and whether to go on."""

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
    """What a person types; everything but where and how to begin is a setting of the run."""

    training: Annotated[TrainingConfig, tyro.conf.arg(name=""), AvoidSubcommands] = field(
        default_factory=TrainingConfig
    )
    out: Path | None = None
    """Run folder; None means runs/TASK_SEED."""
    resume: bool = False
    """Go on exactly with the run in that folder; settings that are not given are its own."""
    config: Path | None = None
    """YAML file of the algorithm's settings, such as config/sac.yaml; options override it."""
    randomize: Path | None = None
    """YAML file of ranges, such as config/randomization.yaml; --randomization options override."""
    delays: Path | None = None
    """YAML file that policy_node wrote with measure_delay_s: the delays to randomise within."""
    seeds: tuple[int, ...] | None = None
    """Instead of --seed: a run each, side by side, on one thread each unless --threads is given;
    in OUT/seed_N, where OUT is runs/TASK_seeds if it is not given."""
    jobs: int | None = None
    """With --seeds, how many train at the same time; None means as many as there are cores."""

    def __post_init__(self) -> None:
        """Refuse seeds that cannot be trained side by side."""
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.seeds is None:
            if self.jobs is not None:
                raise ValueError("jobs goes with seeds: give --seeds 1 2 3 too, or drop --jobs")
            return
        if not self.seeds:
            raise ValueError("seeds must be one or more numbers, such as --seeds 1 2 3")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different from one another, got {self.seeds}")
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds must be in [0, 2^32), got {self.seeds}")


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What is to be done, resolved."""

    config: TrainingConfig
    folder: RunFolder
    resume: bool


def read_train_options(argv: Sequence[str]) -> TrainOptions:
    """Parse a command line over the built-in defaults; raise OptionError."""
    return _parse(argv, _default_of(_given_algorithm(argv)))


def read_train_request(argv: Sequence[str]) -> TrainRequest:
    """Resolve a command line: built-in defaults, below --config or the resumed run, below options.

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
    # What is stored names the precision: a run that goes on elsewhere goes on in the same one.
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
    """Look for --algorithm alone: which options there are besides depends on it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--algorithm")
    try:
        given: str | None = parser.parse_known_args(argv)[0].algorithm
    except argparse.ArgumentError:  # without a value; the real parser says so
        return None
    return given


def _stored_config(folder: RunFolder, algorithm: str | None) -> TrainingConfig:
    stored = folder.read_config()
    if algorithm not in (None, stored.algorithm):
        raise ConfigError(
            f"{folder.path} trains {stored.algorithm}, not {algorithm}; drop --algorithm to resume,"
            " or train anew in another --out"
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
            "give --task half_cheetah, --env Pendulum-v1, or the --out folder of a run to --resume"
        )
    name = Path(config.task).stem if config.task is not None else str(config.env)
    return Path("runs") / f"{name.replace(':', '_').replace('/', '_')}_{what}"
