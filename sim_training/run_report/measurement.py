"""What a report measures itself, because training does not log it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import Provenance
from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.evaluation.policy_evaluation import evaluate_policy
from sim_training.run_report.film import Film, film_policy
from sim_training.run_report.run_groups import RunGroup
from sim_training.run_report.value_check import ValueCheck, check_values, pool_checks
from sim_training.training.policy_export import export_run


@dataclass(frozen=True, kw_only=True)
class MeasurementSettings:
    """How much a report measures."""

    episodes: int
    """For the histogram, with each run's policy."""
    value_episodes: int
    """In which Q values are compared with what is earned."""
    seed: int
    """Of the start states and of the sampled actions."""
    video: bool
    """Whether the policy is filmed."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was found out about one group of runs."""

    checkpoint_steps: tuple[int, ...]
    """Steps of training behind each run's policy; a run may have been evaluated since."""
    returns: NDArray[np.float64]
    """Of every episode of every run, most likely action, not discounted."""
    values: ValueCheck
    """What the critics say beside what was earned."""
    film: Film | None
    """Of the run whose last evaluation is the median; None if none was asked for."""
    provenance: Provenance | None
    """What that run's own policy file says; None before the run has ended."""


def measure(group: RunGroup, effort: MeasurementSettings, folder: Path) -> Measurement:
    """Evaluate, check and film the policies of a group's latest checkpoints.

    Writes them as files into `folder`.
    """
    policies = _export_all(group, folder)
    loaded = [OnnxPolicy.load(path) for path in policies]
    returns = [
        evaluate_policy(policy, num_episodes=effort.episodes, seed=effort.seed) for policy in loaded
    ]
    shown = group.runs.index(group.median_run)
    exported = group.median_run.folder.policy
    film = film_policy(policies[shown], effort.seed, folder) if effort.video else None
    return Measurement(
        checkpoint_steps=tuple(policy.contract.provenance.steps for policy in loaded),
        returns=np.concatenate([np.array(values) for values in returns]),
        values=pool_checks(
            [check_values(run, effort.value_episodes, effort.seed) for run in group.runs]
        ),
        film=film,
        provenance=OnnxPolicy.load(exported).contract.provenance if exported.exists() else None,
    )


def _export_all(group: RunGroup, folder: Path) -> Sequence[Path]:
    # From the checkpoint: a run that goes on, or was killed, has no newer RUN/policy.onnx.
    paths = [folder / f"policy_{index}.onnx" for index in range(len(group.runs))]
    for run, path in zip(group.runs, paths, strict=True):
        export_run(run.folder, path)
    return paths
