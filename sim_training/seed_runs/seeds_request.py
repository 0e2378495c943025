"""The command line of `sac-ros train --seeds`, resolved into one `sac-ros train` per seed."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sac_ros.task.strict_yaml import ConfigError, to_mapping
from sim_training.terminal.options import OptionError
from sim_training.training.provenance import command_line
from sim_training.training.run_folder import RunFolder, RunFolderError
from sim_training.training.train_options import TrainOptions, default_folder, read_train_request
from sim_training.training.training_config import TrainingConfig, flatten_settings, resolve_task


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """The training run of one seed."""

    seed: int
    folder: RunFolder
    train_args: tuple[str, ...]
    """Arguments of `sac-ros train` that train, or resume, this seed."""
    config: TrainingConfig


@dataclass(frozen=True, kw_only=True)
class SeedsRequest:
    """The runs of all seeds, and how many train at the same time."""

    runs: tuple[SeedRun, ...]
    jobs: int
    out: Path
    """The folder that contains the run folders."""
    command: str
    """The complete command line, quoted for a shell."""


def read_seeds_request(
    options: TrainOptions, seeds: tuple[int, ...], argv: Sequence[str]
) -> SeedsRequest:
    """Resolve a command line with --seeds; `options` was parsed from it.

    All errors that a user can correct are raised here, before any seed starts: OptionError,
    ConfigError, RunFolderError.
    """
    given, rest = _split(argv)
    if given.seed is not None:
        raise OptionError(
            f"both --seed {given.seed} and --seeds {' '.join(map(str, seeds))} given; give only one"
        )
    out = options.out or default_folder(options.training, "seeds")
    folders = {seed: RunFolder(out / f"seed_{seed}") for seed in seeds}
    begun = [seed for seed in seeds if folders[seed].has_checkpoint]
    if options.resume and not begun:
        raise RunFolderError(
            f"{out} has no saved run of the seeds {' '.join(map(str, seeds))} to resume; check the"
            " path, or start them without --resume"
        )
    runs = []
    for seed, folder in folders.items():
        train_args = [*rest, "--seed", str(seed), "--out", str(folder.path)]
        if given.threads is not None:
            train_args += ["--threads", given.threads]
        elif seed not in begun:
            # One core per seed: two threads on two busy cores are slower than one.
            train_args += ["--threads", "1"]
        if options.resume and seed in begun:
            train_args.append("--resume")
        config = read_train_request(train_args).config
        runs.append(SeedRun(seed=seed, folder=folder, train_args=tuple(train_args), config=config))
    _refuse_different_settings(runs, begun)
    resolve_task(runs[0].config)  # raises ConfigError if it does not exist
    threads = runs[0].config.threads
    cores = len(os.sched_getaffinity(0)) // (threads if isinstance(threads, int) else 1)
    return SeedsRequest(
        runs=tuple(runs),
        jobs=options.jobs or max(1, cores),
        out=out,
        command=command_line("train", argv),
    )


def _split(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Remove the options that differ between seeds from a valid command line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", nargs="*")
    for name in ("--seed", "--jobs", "--out", "--threads"):
        parser.add_argument(name)
    for name in ("--resume", "--no-resume"):
        parser.add_argument(name, action="store_true")
    return parser.parse_known_args(argv)


def _refuse_different_settings(runs: Sequence[SeedRun], begun: Sequence[int]) -> None:
    """Raise ConfigError if a new seed would have other settings than the seeds already started."""
    model = next((run for run in runs if run.seed in begun), None)
    if model is None:
        return
    before = flatten_settings(to_mapping(model.config))
    for run in runs:
        now = flatten_settings(to_mapping(replace(run.config, seed=model.seed)))
        changes = [
            f"{name} {now[name]} instead of {before[name]}"
            for name in before
            if now[name] != before[name]
        ]
        if changes and run.seed not in begun:
            raise ConfigError(
                f"seed {run.seed} is new and would start with other settings than"
                f" {model.folder.path}: {', '.join(changes)}; give all options of the command that"
                " started the other seeds"
            )
