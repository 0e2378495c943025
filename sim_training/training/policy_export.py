"""Write policy.onnx from a run's actor or checkpoint, also while the run is training."""

from pathlib import Path

from sac_ros.sac.checkpoints.checkpoint import load_actor
from sac_ros.sac.checkpoints.onnx_export import export_policy
from sac_ros.sac.learners.learner_protocol import Actor
from sac_ros.task.task_spec import TaskSpec
from sim_training.training.checkpoint_retry import read_with_retry
from sim_training.training.provenance import make_provenance
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_config import TrainingConfig
from sim_training.training.training_progress import LoopState


def export_run(folder: RunFolder, path: Path) -> int:
    """Write the policy of a run's latest checkpoint; return the checkpoint's step."""
    folder.require_checkpoint()
    saved = read_with_retry(load_actor, folder.checkpoint)
    state = LoopState.from_checkpoint(saved.progress)
    export_actor(path, saved.actor, folder.read_task(), folder.read_config(), state)
    return state.progress.step


def export_actor(
    path: Path,
    actor: Actor,
    task: TaskSpec,
    config: TrainingConfig,
    state: LoopState,
) -> None:
    """Write an actor as a policy file, with the contract of the run that trained it."""
    progress = state.progress
    export_policy(
        actor,
        task=task,
        provenance=make_provenance(
            algorithm=config.algorithm,
            seed=config.seed,
            steps=progress.step,
            commands=progress.commands,
            evaluation_return=progress.evaluation_return,
            training_run_s=progress.wall_s,
        ),
        obs_low=progress.obs_low,
        obs_high=progress.obs_high,
        golden_obs=state.golden_obs,
        path=path,
    )
