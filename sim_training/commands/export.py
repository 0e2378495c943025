"""`sac-ros export`: write policy.onnx from a run's checkpoint, also while the run is training.

It also exports models saved by Stable-Baselines3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from sim_training.terminal.options import OptionError, parse_options
from sim_training.training.policy_export import export_run
from sim_training.training.provenance import command_line
from sim_training.training.run_folder import RunFolder
from sim_training.training.sb3_import import export_sb3_model
from sim_training.training.training_config import TrainingConfig, resolve_task


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `sac-ros export`."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the run."""
    out: Path | None = None
    """Output file; None means RUN/policy.onnx, or MODEL.onnx next to the model."""
    from_sb3: Path | None = None
    """Instead of a run: a .zip saved by Stable-Baselines3's SAC. Its pickles are not executed."""
    task: str | None = None
    """With --from-sb3: the task, or task file, that the model was trained for."""
    env: str | None = None
    """With --from-sb3, instead of a task: id of the Gymnasium environment it was trained in."""


def main(argv: Sequence[str]) -> int:
    """Export as the command line says."""
    options = parse_options(
        ExportOptions,
        argv,
        prog="sac-ros export",
        description="Write the policy of a run's latest checkpoint as one ONNX file.",
    )
    if options.from_sb3 is not None:
        return _export_sb3(options, options.from_sb3, command_line("export", argv))
    if options.run is None:
        raise OptionError("nothing to export; give the folder of a run, or --from-sb3 model.zip")
    if options.task is not None or options.env is not None:
        raise OptionError(
            "--task and --env need --from-sb3; a run has its task stored: remove them"
        )
    folder = RunFolder(options.run)
    path = options.out or folder.policy
    step = export_run(folder, path)
    print(f"wrote {path}, the policy after {step} steps")
    return 0


def _export_sb3(options: ExportOptions, model: Path, command: str) -> int:
    if options.run is not None:
        raise OptionError(f"give either the run {options.run} or --from-sb3, not both")
    task = resolve_task(TrainingConfig(task=options.task, env=options.env))
    path = options.out or model.with_suffix(".onnx")
    return_mean = export_sb3_model(model, task, path, command)
    print(f"wrote {path}; its mean return in {task.name} is {return_mean:.1f}")
    return 0
