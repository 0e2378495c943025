"""The hyperparameter search: runs the trials of an Optuna study."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
import yaml
from optuna.study import Study
from optuna.trial import Trial, TrialState

from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError
from sac_ros.sac.config.algorithm_config import AlgorithmConfig, AlgorithmName
from sac_ros.task.strict_yaml import to_mapping
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.run_folder import RunFolder
from sim_training.tuning.search_space import (
    SearchSpace,
    suggest,
    with_values,
)
from sim_training.tuning.study import (
    FAILURE,
    RUN,
    best_trial,
    finished_trials,
    open_study,
    requeue_interrupted,
    write_results,
)
from sim_training.tuning.trial_process import TrialProcess

POLL_S = 0.2


GIVE_UP_AFTER = 3
"""If the first trials all fail, this many stop the search: the cause is not a hyperparameter."""


class TuningError(InputError):
    """The search cannot continue."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """The settings of one search; OUT/tune.yaml has the same keys."""

    task: str | None = None
    """Name of a task, or a task file."""
    env: str | None = None
    """Instead of a task: id of a Gymnasium environment."""
    algorithm: AlgorithmName = "sac"
    """The SAC variant, as in `sac-ros train`."""
    trials: int = 30
    """Total number of trials, including those of an interrupted search."""
    steps: int = 50_000
    """Environment steps per trial."""
    evaluations: int = 10
    """Evaluations per trial. After each one, the trial is stopped if its return is below the median
    of the other trials at the same step, but never in the first third of its steps."""
    eval_episodes: int = 10
    """Episodes per evaluation; the search maximises the mean return of the last evaluation."""
    seed: int = 1
    """Seed of the search. Each trial trains with a different seed."""
    config: Path | None = None
    """YAML file with the hyperparameters that are not searched, such as config/sac.yaml."""
    space: Path | None = None
    """YAML file with the search space; None means the package's config/search_space.yaml."""
    train_options: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """The options after --, passed to `sac-ros train` in every trial."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the field's name, for a value out of range."""
        for name in ("trials", "steps", "evaluations", "eval_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.evaluations > self.steps:
            raise ValueError(f"evaluations must be at most steps, got {self.evaluations}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be in [0, 2^31), got {self.seed}")


class Search:
    """A study and its running trials."""

    def __init__(
        self, settings: TuneSettings, base: AlgorithmConfig, space: SearchSpace, out: Path
    ) -> None:
        self._settings = settings
        self._base = base
        self._space = space
        self._out = out
        self._study: Study = open_study(
            out / "study.journal", settings.seed, warmup_steps=settings.steps // 3
        )
        self._running: list[tuple[Trial, TrialProcess]] = []

    def run(self, jobs: int) -> int:
        """Run trials until all are done or a signal arrives; return the exit status."""
        num_resumed = requeue_interrupted(self._study)
        if num_resumed:
            plural = "s" * (num_resumed > 1)
            print(f"resuming {num_resumed} interrupted trial{plural}", flush=True)
        try:
            with StopRequest() as stop:
                while stop.received is None and (self._num_left() > 0 or self._running):
                    while len(self._running) < min(jobs, self._num_left()):
                        self._start()
                    time.sleep(POLL_S)
                    for trial, process in list(self._running):
                        self._watch(trial, process)
        finally:
            # Their trials keep the state "running", by which a resumed search finds them.
            for _, process in self._running:
                process.stop()
        if stop.received is not None:
            print(
                f"stopped by {stop.received.name}, everything is saved; resume with:"
                f" sac-ros tune --out {shlex.quote(str(self._out))} --resume"
            )
            return stop.exit_status
        return self._conclude()

    def _num_left(self) -> int:
        """Return how many trials are not finished yet."""
        return self._settings.trials - len(finished_trials(self._study))

    def _start(self) -> None:
        trial = self._study.ask()
        values = suggest(trial, self._space, self._base)
        name = f"trial_{trial.number:04d}"
        folder = RunFolder(self._out / trial.user_attrs.get(RUN, name))
        trial.set_user_attr(RUN, folder.path.name)
        hyperparameters = to_mapping(with_values(self._base, values, "the study"))
        config = folder.path.with_suffix(".yaml")
        replace_text(config, yaml.safe_dump(hyperparameters, sort_keys=False))
        settings = self._settings
        problem = ("--task", settings.task) if settings.task else ("--env", str(settings.env))
        every = str(max(1, settings.steps // settings.evaluations))
        # From the number in the folder's name, so that a resumed trial keeps its seed.
        seed = settings.seed + int(folder.path.name.rpartition("_")[2])
        options = (
            *(str(word) for word in problem),
            *("--algorithm", settings.algorithm, "--config", str(config), "--seed", str(seed)),
            *("--steps", str(settings.steps), "--eval-every", every, "--checkpoint-every", every),
            # One core per job: two threads on two busy cores are slower than one.
            *("--eval-episodes", str(settings.eval_episodes), "--threads", "1"),
            *settings.train_options,
        )
        self._running.append((trial, TrialProcess(folder, options)))
        tried = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
        print(f"trial {trial.number} trains in {folder.path}: {tried}", flush=True)

    def _watch(self, trial: Trial, process: TrialProcess) -> None:
        """Report new evaluations to the study; finish the trial if it has ended or is pruned."""
        # Read before the evaluations, so that the last one of an ended process is included.
        status = process.exit_status
        for step, return_mean in process.new_evaluations():
            trial.report(return_mean, step)
            if status is None and trial.should_prune():
                process.stop()
                self._finish(trial, process, TrialState.PRUNED, f"pruned at step {step}")
                return
        if status == 0:
            self._finish(trial, process, TrialState.COMPLETE, "complete")
        elif status is not None:
            trial.set_user_attr(FAILURE, process.last_output_line())
            self._finish(trial, process, TrialState.FAIL, f"failed: {process.last_output_line()}")
            self._stop_if_all_trials_failed(process)

    def _finish(self, trial: Trial, process: TrialProcess, state: TrialState, words: str) -> None:
        self._running.remove((trial, process))
        last = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        value = last[max(last)] if last else None
        self._study.tell(trial, value if state is TrialState.COMPLETE else None, state=state)
        write_results(self._study, self._space, self._base, self._out)
        best = best_trial(self._study)
        print(
            f"trial {trial.number} {words}, return {_short(value)};"
            f" {len(finished_trials(self._study))} of {self._settings.trials} done, best"
            f" {'none yet' if best is None else f'{best.value:.1f} of trial {best.number}'}",
            flush=True,
        )

    def _stop_if_all_trials_failed(self, process: TrialProcess) -> None:
        finished = finished_trials(self._study)
        if len(finished) >= GIVE_UP_AFTER and all(FAILURE in t.user_attrs for t in finished):
            raise TuningError(
                f"the first {len(finished)} trials failed, the last one with:"
                f" {process.last_output_line()}; read its log {process.log}, and correct the"
                " settings"
            )

    def _conclude(self) -> int:
        best = best_trial(self._study)
        write_results(self._study, self._space, self._base, self._out)
        if best is None:
            print(f"no trial was completed; see {self._out / 'trials.csv'}")
            return 1
        settings = self._settings
        problem = ["--task", settings.task] if settings.task else ["--env", str(settings.env)]
        train = shlex.join(
            [
                *("sac-ros", "train", *(str(word) for word in problem)),
                *("--algorithm", settings.algorithm, "--config", str(self._out / "best.yaml")),
            ]
        )
        print(f"best: trial {best.number}, return {best.value:.1f}; train with it: {train}")
        return 0


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
