"""`sac-ros tune`: search for hyperparameters with Optuna, and stop hopeless trials early."""

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
    """What a person types."""

    out: Path | None = None
    """Folder for the study, the trials and the results; None means runs/tune_TASK_ALGORITHM."""
    resume: bool = False
    """Go on with the search in that folder; only --trials may be changed, and --jobs."""
    jobs: int = 1
    """Trials that train at the same time, each on a core of its own."""

    def __post_init__(self) -> None:
        """Refuse a count that is none."""
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
    )  # refuses what does not exist
    path = settings.space or package_share() / "config" / "search_space.yaml"
    space = read_search_space(path, base)
    with RunFolder(out).locked():
        replace_text(out / "tune.yaml", yaml.safe_dump(to_mapping(settings), sort_keys=False))
        search = Search(settings, base, space, out)
        return search.run(options.jobs)


_SETTINGS = tuple(TuneSettings.__dataclass_fields__)


def _read_options(argv: Sequence[str]) -> TuneOptions:
    """Resolve the command line; a resumed search takes what is not given from its tune.yaml."""
    own, passed_on = split_at_double_dash(argv)
    options = replace(_parse(own, TuneOptions()), train_options=tuple(passed_on))
    out = options.out or _default_out(options)
    stored_at = out / "tune.yaml"
    if not options.resume:
        if stored_at.exists():
            raise OptionError(
                f"{out} already holds a search; go on with it by --resume, or choose another --out"
            )
        return options
    if not stored_at.exists():
        raise OptionError(f"{out} holds no search to go on with: there is no {stored_at}")
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
            f"{out} cannot go on with other settings: {', '.join(changed)}; drop these options, or"
            " search anew in another --out"
        )
    return replace(given, out=out)


def _parse(argv: Sequence[str], default: TuneOptions) -> TuneOptions:
    return parse_options(
        TuneOptions,
        argv,
        prog="sac-ros tune",
        description=(
            "Search for hyperparameters; the best are written as YAML for `sac-ros train --config`."
            " Options after -- go to the training of every trial."
        ),
        default=default,
    )


def _default_out(settings: TuneSettings) -> Path:
    if settings.task is None and settings.env is None:
        raise OptionError(
            "give --task half_cheetah, --env Pendulum-v1, or the --out folder of a search to"
            " --resume"
        )
    name = Path(settings.task).stem if settings.task is not None else str(settings.env)
    safe = name.replace(":", "_").replace("/", "_")
    return Path("runs") / f"tune_{safe}_{settings.algorithm}"
