"""The training loop, from the first random action to the exported policy."""

import math
import time
from collections.abc import Callable, Sequence

import torch

from sac_ros.errors import InputError
from sac_ros.sac.checkpoints.checkpoint_manifest import CheckpointError
from sac_ros.sac.checkpoints.onnx_export import PolicyExportError
from sac_ros.sac.learners.learner_protocol import Metrics
from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.env import executed_action, successor_obs, terminated_for_learner
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.actor_evaluation import ActorEvaluation
from sim_training.training.policy_export import export_actor
from sim_training.training.progress_display import ProgressDisplay, forward_logs_to
from sim_training.training.provenance import command_line, resume_command
from sim_training.training.thread_choice import ThreadChoice
from sim_training.training.train_options import TrainRequest, read_train_request
from sim_training.training.training_config import resolve_task
from sim_training.training.training_log import TrainingLog
from sim_training.training.training_progress import TrainingProgress
from sim_training.training.training_run import TrainingRun


class TrainingStoppedError(InputError):
    """Training cannot continue; the last checkpoint is intact."""


def train_one(
    argv: Sequence[str], stop: StopRequest, make_display: Callable[[int], ProgressDisplay]
) -> int:
    """Train one seed as the command line says, until done or stopped; return the exit status."""
    request = read_train_request(argv)
    # Adam's moments decay into denormal numbers, which slow a processor down by a factor of ten.
    torch.set_flush_denormal(True)
    task = resolve_task(request.config)
    with request.folder.locked():
        display = make_display(request.config.steps)
        return train(request, task, command_line("train", argv), stop, display)


def train(
    request: TrainRequest,
    task: TaskSpec,
    command: str,
    stop: StopRequest,
    display: ProgressDisplay,
) -> int:
    """Train until the last step, `stop_at_return` or a signal; return the exit status."""
    config, sac, folder = request.config, request.config.sac, request.folder
    run = TrainingRun(config, task, folder)
    evaluation = ActorEvaluation(config, task)
    progress = run.resume(command) if request.resume else run.begin(command)
    began_s = time.monotonic() - progress.wall_s
    training_return: float | None = None
    metrics: Metrics | None = None
    threads = ThreadChoice(config.threads)

    try:
        with (
            stop,
            display,
            forward_logs_to(display),
            TrainingLog(folder, progress) as log,
        ):
            obs = run.obs
            while (
                progress.step < config.steps
                and not progress.is_solved(config.stop_at_return)
                and stop.received is None
            ):
                if progress.step < sac.learning_starts:
                    action = run.draw_warmup_action()
                else:
                    action = run.learner.act(obs)
                next_obs, reward, terminated, truncated, info = run.envs.step(action)
                ended = terminated | truncated
                # Where an episode ended, `next_obs` is the first observation of the next episode.
                # A truncated step must bootstrap from its own successor instead.
                successor = successor_obs(next_obs, ended, info)
                executed = executed_action(action, ended, info)
                final = terminated_for_learner(terminated, info)
                run.buffer.add(obs, executed, reward, successor, final, truncated)
                obs = next_obs
                progress.count_step(reward, successor, next_obs)
                for episode in progress.pop_finished_episodes(ended):
                    training_return = episode.episode_return
                    log.episode(progress.step, episode)

                if progress.step >= sac.learning_starts:
                    progress.pending_updates += sac.utd_ratio * config.num_envs
                    while progress.pending_updates >= 1.0:
                        with threads.timed():
                            metrics = run.learner.update(run.buffer.sample(sac.batch_size))
                        progress.pending_updates -= 1.0
                        _refuse_divergence(metrics, progress.step)

                progress.wall_s = time.monotonic() - began_s
                if progress.crossed_multiple_of(config.log_every):
                    log.speed(progress)
                    if metrics is not None:
                        log.update(progress.step, metrics)
                # Before the checkpoint, so that the checkpoint includes this evaluation.
                if progress.crossed_multiple_of(config.eval_every):
                    _evaluate(evaluation, run, progress, log, display)
                if progress.crossed_multiple_of(config.checkpoint_every):
                    log.flush()
                    run.save(progress)
                if display.is_due():
                    display.show(progress, log.steps_per_s, training_return)

            display.show(progress, log.steps_per_s, training_return)
            if stop.received is not None:
                log.flush()
                run.save(progress)
                display.say(
                    f"stopped by {stop.received.name} at step {progress.step}, everything is"
                    f" saved; resume with: {resume_command(command)}"
                )
                return stop.exit_status
            if not progress.is_evaluated:
                _evaluate(evaluation, run, progress, log, display)
            state = run.save(progress)
            export_actor(folder.policy, run.learner.actor, task, config, state)
    except (OSError, CheckpointError, PolicyExportError) as error:
        raise TrainingStoppedError(
            f"training stopped at step {progress.step}: {error}. The checkpoint of step"
            f" {run.saved_step} is intact; resume with: {resume_command(command)}"
        ) from error
    print(f"wrote {folder.policy} after {progress.step} steps and {progress.wall_s:.0f} s")
    best = progress.best_evaluation
    if best.return_mean > progress.evaluations[-1].return_mean:
        print(
            f"{folder.best_policy} has a higher mean return: {best.return_mean:.1f}, at step"
            f" {best.step}"
        )
    return 0


def _evaluate(
    evaluation: ActorEvaluation,
    run: TrainingRun,
    progress: TrainingProgress,
    log: TrainingLog,
    display: ProgressDisplay,
) -> None:
    """Evaluate and log the result; export the policy too if it is the best so far."""
    evaluation.evaluate(run.learner.actor, progress)
    log.evaluation(progress.evaluations[-1])
    display.say(str(progress.evaluations[-1]))
    if progress.best_evaluation.step == progress.step:
        state = run.state(progress)
        export_actor(run.folder.best_policy, run.learner.actor, run.task, run.config, state)


def _refuse_divergence(metrics: Metrics, step: int) -> None:
    if not (math.isfinite(metrics.qf_loss) and math.isfinite(metrics.actor_loss)):
        raise TrainingStoppedError(
            f"training diverged at step {step}: a loss is not finite (qf_loss {metrics.qf_loss},"
            f" actor_loss {metrics.actor_loss}); start again with lower learning rates or a smaller"
            " utd_ratio"
        )
