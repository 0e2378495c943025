"""The command line of `sac-ros train --seeds`: what each seed's own `sac-ros train` would be."""

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
    """An ordinary run, one of several that differ in their seed."""

    seed: int
    folder: RunFolder
    words: tuple[str, ...]
    """What follows `sac-ros train` to train, or resume, this seed alone."""
    config: TrainingConfig


@dataclass(frozen=True, kw_only=True)
class SeedsRequest:
    """What is to be trained, and how much of it at the same time."""

    runs: tuple[SeedRun, ...]
    jobs: int
    out: Path
    """Folder of the runs' folders."""
    command: str
    """The whole of it, as it can be typed again."""


def read_seeds_request(
    options: TrainOptions, seeds: tuple[int, ...], argv: Sequence[str]
) -> SeedsRequest:
    """Resolve a command line with --seeds, which `options` was parsed from.

    Everything that a person can correct is refused here, before any seed begins: OptionError,
    ConfigError, RunFolderError.
    """
    given, rest = _split(argv)
    if given.seed is not None:
        raise OptionError(
            f"both --seed {given.seed} and --seeds {' '.join(map(str, seeds))} given; give one"
        )
    out = options.out or default_folder(options.training, "seeds")
    folders = {seed: RunFolder(out / f"seed_{seed}") for seed in seeds}
    begun = [seed for seed in seeds if folders[seed].has_checkpoint]
    if options.resume and not begun:
        raise RunFolderError(
            f"{out} holds no run of the seeds {' '.join(map(str, seeds))} to go on with; check the"
            " path, or begin them there by training without --resume"
        )
    runs = []
    for seed, folder in folders.items():
        words = [*rest, "--seed", str(seed), "--out", str(folder.path)]
        if given.threads is not None:
            words += ["--threads", given.threads]
        elif seed not in begun:
            # A core for each seed: two threads on two busy cores are slower than one.
            words += ["--threads", "1"]
        if options.resume and seed in begun:
            words.append("--resume")
        config = read_train_request(words).config
        runs.append(SeedRun(seed=seed, folder=folder, words=tuple(words), config=config))
    _refuse_different_settings(runs, begun)
    resolve_task(runs[0].config)  # refuses what does not exist
    threads = runs[0].config.threads
    cores = len(os.sched_getaffinity(0)) // (threads if isinstance(threads, int) else 1)
    return SeedsRequest(
        runs=tuple(runs),
        jobs=options.jobs or max(1, cores),
        out=out,
        command=command_line("train", argv),
    )


def _split(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Take out of a valid command line what is not the same for each seed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seeds", nargs="*")
    for name in ("--seed", "--jobs", "--out", "--threads"):
        parser.add_argument(name)
    for name in ("--resume", "--no-resume"):
        parser.add_argument(name, action="store_true")
    return parser.parse_known_args(argv)


def _refuse_different_settings(runs: Sequence[SeedRun], begun: Sequence[int]) -> None:
    """Raise ConfigError if a seed would begin with other settings than those begun earlier."""
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
                f"seed {run.seed} has not begun, and would begin with other settings than"
                f" {model.folder.path}: {', '.join(changes)}; give all options of the command that"
                " began it"
            )
