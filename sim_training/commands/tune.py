"""`sac-ros tune`: search for hyperparameters with Optuna; trials below the median stop early."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from sac_ros.atomic_write import replace_text
from sac_ros.sac.config.algorithm_config import CONFIGS
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml, to_mapping
from sim_training.terminal.options import OptionError, parse_options, split_at_double_dash
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_config import TrainingConfig, resolve_task
from sim_training.tuning.search import Search, TuneSettings
from sim_training.tuning.search_space import (
    read_search_space,
)


@dataclass(frozen=True, kw_only=True)
class TuneOptions(TuneSettings):
    """Options of `sac-ros tune`."""

    out: Path | None = None
    """Folder for the study, the trials and the results; None means runs/tune_TASK_ALGORITHM."""
    resume: bool = False
    """Resume the search in the --out folder; only --trials and --jobs may change."""
    jobs: int = 1
    """Number of trials that train at the same time, each on one core."""

    def __post_init__(self) -> None:
        """Raise ValueError for a count out of range."""
        super().__post_init__()
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")


def main(argv: Sequence[str]) -> int:
    """Search as the command line says."""
    options = _read_options(argv)
    out = options.out or _default_out(options)
    settings = TuneSettings(**{name: getattr(options, name) for name in _SETTINGS})
    base = CONFIGS[settings.algorithm]()
    if settings.config is not None:
        base = read_yaml(settings.config, type(base))
    resolve_task(
        TrainingConfig(task=settings.task, env=settings.env)
    )  # raises ConfigError if it does not exist
    path = settings.space or package_share() / "config" / "search_space.yaml"
    space = read_search_space(path, base)
    with RunFolder(out).locked():
        replace_text(out / "tune.yaml", yaml.safe_dump(to_mapping(settings), sort_keys=False))
        search = Search(settings, base, space, out)
        return search.run(options.jobs)


_SETTINGS = tuple(TuneSettings.__dataclass_fields__)


def _read_options(argv: Sequence[str]) -> TuneOptions:
    """Resolve the command line; a resumed search takes its defaults from OUT/tune.yaml."""
    own, passed_on = split_at_double_dash(argv)
    options = replace(_parse(own, TuneOptions()), train_options=tuple(passed_on))
    out = options.out or _default_out(options)
    stored_at = out / "tune.yaml"
    if not options.resume:
        if stored_at.exists():
            raise OptionError(
                f"{out} already has a search; resume it with --resume, or choose another --out"
            )
        return options
    if not stored_at.exists():
        raise OptionError(
            f"{out} has no search to resume: {stored_at} does not exist; check --out, or start a"
            " search without --resume"
        )
    stored = read_yaml(stored_at, TuneSettings)
    given = _parse(own, TuneOptions(**{name: getattr(stored, name) for name in _SETTINGS}))
    if passed_on:
        given = replace(given, train_options=tuple(passed_on))
    changed = [
        f"{name} was {getattr(stored, name)} and is now {getattr(given, name)}"
        for name in _SETTINGS
        if name != "trials" and getattr(stored, name) != getattr(given, name)
    ]
    if changed:
        raise OptionError(
            f"{out} cannot resume with other settings: {', '.join(changed)}; remove these options,"
            " or start a new search in another --out"
        )
    return replace(given, out=out)


def _parse(argv: Sequence[str], default: TuneOptions) -> TuneOptions:
    return parse_options(
        TuneOptions,
        argv,
        prog="sac-ros tune",
        description=(
            "Search for hyperparameters; the best are written as YAML for `sac-ros train --config`."
            " Options after -- are passed to `sac-ros train` in every trial."
        ),
        default=default,
    )


def _default_out(settings: TuneSettings) -> Path:
    if settings.task is None and settings.env is None:
        raise OptionError(
            "no task given; give --task half_cheetah, --env Pendulum-v1, or the --out folder of a"
            " search to --resume"
        )
    name = Path(settings.task).stem if settings.task is not None else str(settings.env)
    safe = name.replace(":", "_").replace("/", "_")
    return Path("runs") / f"tune_{safe}_{settings.algorithm}"
