"""The command line of `sac-ros train`: settings, where to write, and whether to go on."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import AvoidSubcommands

from sac_ros.sac.algorithm_config import CONFIGS
from sac_ros.task.strict_yaml import ConfigError, read_yaml
from sim_training.options import OptionError, parse_options
from sim_training.run_folder import RunFolder
from sim_training.training_config import TrainingConfig, execution_of, refuse_changes


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


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What is to be done, resolved."""

    config: TrainingConfig
    folder: RunFolder
    resume: bool


def read_train_request(argv: Sequence[str]) -> TrainRequest:
    """Resolve a command line: built-in defaults, below --config or the resumed run, below options.

    Raises OptionError, ConfigError or RunFolderError.
    """
    default = _default_of(_given_algorithm(argv))
    options = _parse(argv, default)
    folder = RunFolder(options.out or _default_folder(options.training))
    if options.resume:
        folder.require_checkpoint()
        default = _stored_config(folder, _given_algorithm(argv))
    if options.config is not None:
        default = replace(default, sac=read_yaml(options.config, CONFIGS[default.algorithm]))
    config = _parse(argv, default).training
    # What is stored names the precision: a run that goes on elsewhere goes on in the same one.
    config = replace(config, precision=execution_of(config).precision)
    if options.resume:
        refuse_changes(folder.read_config(), config, str(folder.path))
    else:
        folder.refuse_other_run()
    return TrainRequest(config=config, folder=folder, resume=options.resume)


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


def _default_folder(config: TrainingConfig) -> Path:
    if config.task is None and config.env is None:
        raise OptionError(
            "give --task half_cheetah, --env Pendulum-v1, or the --out folder of a run to --resume"
        )
    name = Path(config.task).stem if config.task is not None else str(config.env)
    return Path("runs") / f"{name.replace(':', '_').replace('/', '_')}_{config.seed}"
