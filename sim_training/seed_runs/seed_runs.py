"""`sac-ros train --seeds`: train several seeds in parallel, each in a run folder of its own."""

from multiprocessing.connection import wait

import numpy as np

from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.checkpoints.checkpoint import load_actor
from sim_training.seed_runs.seed_process import SeedProcess, Status
from sim_training.seed_runs.seeds_display import SeedsDisplay, make_seeds_display
from sim_training.seed_runs.seeds_request import SeedRun, SeedsRequest
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.checkpoint_retry import read_with_retry
from sim_training.training.provenance import resume_command
from sim_training.training.training_progress import LoopState, TrainingProgress

POLL_S = 0.2


class SeedsFailedError(InputError):
    """The training of some seeds failed."""


def run_seeds(request: SeedsRequest) -> int:
    """Train every seed that is not finished; return the exit status.

    If some seeds fail, the others are trained to the end; then SeedsFailedError is raised.
    """
    seeds = [run.seed for run in request.runs]
    resume = resume_command(request.command)
    with (
        StopRequest() as stop,
        make_seeds_display(seeds, request.runs[0].config.steps) as display,
    ):
        training = SeedTraining(request, display)
        try:
            training.run(stop)
        finally:
            # No process is left here, unless a second signal interrupted `run`.
            training.kill()
    failures = [f"seed {seed}: {reason}" for seed, reason in training.failures.items()]
    if stop.received is not None and len(training.finished) + len(failures) < len(seeds):
        but = f", except {'; '.join(failures)}" if failures else ""
        print(f"stopped by {stop.received.name}, everything is saved{but}; resume with: {resume}")
        return stop.exit_status
    if training.finished:
        print(summary(training.finished))
        print(f"compare them with: sac-ros report {request.out}")
    if failures:
        raise SeedsFailedError(
            f"{len(failures)} of {len(seeds)} seeds failed: {'; '.join(failures)}. To try again,"
            f" resume with: {resume}"
        )
    return 0


class SeedTraining:
    """Starts the waiting seeds, watches those that train, and records their results."""

    def __init__(self, request: SeedsRequest, display: SeedsDisplay) -> None:
        self.finished: dict[int, float] = {}
        """Seed -> mean return of its last evaluation."""
        self.failures: dict[int, str] = {}
        """Seed -> reason of its failure."""
        self._jobs = request.jobs
        self._display = display
        self._waiting = list(request.runs)
        self._training: list[SeedProcess] = []

    def run(self, stop: StopRequest) -> None:
        """Train until every seed has finished or failed; after a signal, until all are saved."""
        while self._training or (self._waiting and stop.received is None):
            while self._waiting and len(self._training) < self._jobs and stop.received is None:
                self._begin(self._waiting.pop(0))
            if stop.received is not None:
                for process in self._training:
                    process.ask_to_stop()
            wait([p.connection for p in self._training if p.connection is not None], POLL_S)
            for process in list(self._training):
                # Read before its messages, so that the last message of an ended process is shown.
                status = process.exit_status
                self._show_messages(process, is_stopping=stop.received is not None)
                if status is not None:
                    self._training.remove(process)
                    self._note_end(process, status, stop)

    def kill(self) -> None:
        """Kill all processes that still train."""
        for process in self._training:
            process.kill()

    def _begin(self, run: SeedRun) -> None:
        progress = finished_progress(run)
        if progress is None:
            self._training.append(SeedProcess(run, self._display.status_period_s))
            return
        self._display.say(f"seed {run.seed}: already finished")
        self._note_finished(run, progress)

    def _show_messages(self, process: SeedProcess, is_stopping: bool) -> None:
        seed = process.run.seed
        for message in process.messages():
            if isinstance(message, Status):
                self._display.show(seed, message.step, message.text)
            elif not is_stopping:  # while stopping, one line for all seeds is printed at the end
                self._display.say(f"seed {seed}: {message.text}")

    def _note_end(self, process: SeedProcess, status: int, stop: StopRequest) -> None:
        run = process.run
        progress = finished_progress(run)
        if status == 0 and progress is not None:
            self._note_finished(run, progress)
        elif stop.received is None or status not in STOPPED_EXIT_STATUSES:
            self.failures[run.seed] = process.failure()
            self._display.say(f"seed {run.seed} failed: {self.failures[run.seed]}")

    def _note_finished(self, run: SeedRun, progress: TrainingProgress) -> None:
        evaluation = progress.evaluations[-1]
        self.finished[run.seed] = evaluation.return_mean
        self._display.show(run.seed, progress.step, f"finished, eval {evaluation.return_mean:.1f}")


def finished_progress(run: SeedRun) -> TrainingProgress | None:
    """Return the progress of a run that is finished, with its policy exported; None otherwise."""
    folder = run.folder
    if not (folder.has_checkpoint and folder.policy.exists()):
        return None
    try:
        saved = read_with_retry(load_actor, folder.checkpoint)
        progress = LoopState.from_checkpoint(saved.progress).progress
        policy = OnnxPolicy.load(folder.policy)
    except InputError:
        return None  # resuming the run will report the error
    has_all_steps = progress.step >= run.config.steps or progress.is_solved(
        run.config.stop_at_return
    )
    # The policy may have been exported earlier, and --steps may have been increased.
    is_exported = policy.contract.provenance.steps == progress.step
    return progress if has_all_steps and is_exported and progress.is_evaluated else None


def summary(return_means: dict[int, float]) -> str:
    """Return one line with the final returns of several seeds."""
    values = np.array(list(return_means.values()))
    each = ", ".join(f"{value:.1f} (seed {seed})" for seed, value in sorted(return_means.items()))
    return (
        f"final evaluation return {values.mean():.1f} ± {values.std():.1f}, mean and population"
        f" standard deviation over {len(values)} seed{'s' * (len(values) > 1)}: {each}"
    )


STOPPED_EXIT_STATUSES = (130, 143)
"""Exit statuses of a training that saved itself after SIGINT or SIGTERM."""
