"""The Optuna study of a search, stored in a file, and its results as best.yaml and trials.csv."""

import csv
import io
import json
from pathlib import Path

import optuna
import yaml
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sac_ros.atomic_write import replace_text
from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.task.strict_yaml import to_mapping
from sim_training.tuning.search_space import SearchSpace, with_values

STARTUP_TRIALS = 5
"""First trials, sampled at random and never pruned: the sampler has no results to use yet."""
RUN, FAILURE = "run", "failure"
"""Attributes of a trial: its run folder, and the reason of its failure."""


def open_study(path: Path, seed: int, warmup_steps: int) -> Study:
    """Create the study in this file, or load the existing one.

    The file is an Optuna journal; optuna-dashboard can read it while the search runs. No trial is
    pruned before `warmup_steps` environment steps.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="sac_ros",
        storage=JournalStorage(JournalFileBackend(str(path))),
        # Running trials count as bad ones, so that parallel jobs do not try the same values.
        sampler=TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True),
        pruner=MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warmup_steps),
        direction="maximize",
        load_if_exists=True,
    )


def requeue_interrupted(study: Study) -> int:
    """Queue the trials that an interrupted search left running; return how many."""
    interrupted = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in interrupted:
        # Queued first: if the search dies between the two calls, a trial runs twice at worst.
        if RUN in trial.user_attrs:
            attributes = {RUN: trial.user_attrs[RUN]}
            study.enqueue_trial(dict(trial.params), user_attrs=attributes)
        study.tell(trial.number, state=TrialState.FAIL)
    return len(interrupted)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that are complete, pruned or failed, without interrupted ones."""
    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in ends or FAILURE in trial.user_attrs
    ]


def best_trial(study: Study) -> FrozenTrial | None:
    """Return the complete trial with the highest return; None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(complete, key=lambda trial: trial.values[0], default=None)


def write_results(study: Study, space: SearchSpace, base: AlgorithmConfig, folder: Path) -> None:
    """Write trials.csv, and best.yaml for `sac-ros train --config`."""
    names = list(space)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["trial", "state", "return_mean", "steps", *names, "run", "failure"])
    for trial in finished_trials(study):
        values = trial.intermediate_values
        writer.writerow(
            [
                trial.number,
                trial.state.name.lower(),
                values[max(values)] if values else "",
                max(values, default=0),
                *(trial.params.get(name, "") for name in names),
                trial.user_attrs.get(RUN, ""),
                trial.user_attrs.get(FAILURE, ""),
            ]
        )
    replace_text(folder / "trials.csv", table.getvalue())
    if (best := best_trial(study)) is None:
        return
    config = with_values(base, parameters_of(best, space), "the study")
    note = (
        f"# The best of {len(finished_trials(study))} trials by sac-ros tune: trial {best.number},"
        f" return {best.value:.1f}.\n"
    )
    replace_text(folder / "best.yaml", note + yaml.safe_dump(to_mapping(config), sort_keys=False))


def parameters_of(trial: FrozenTrial, space: SearchSpace) -> dict[str, object]:
    """Return a trial's hyperparameters, with JSON choices decoded."""
    return {
        name: value if space[name].choices is None else json.loads(value)
        for name, value in trial.params.items()
    }
