"""The measurements of a report that training does not log: returns, Q values, a video."""

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
    """The extent of a report's measurements."""

    episodes: int
    """Episodes of each run's policy for the histogram of returns."""
    value_episodes: int
    """Episodes in which Q values are compared with realised returns."""
    seed: int
    """Seed of start states and sampled actions."""
    video: bool
    """Whether to record a video of the policy."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measurements of one group of runs."""

    checkpoint_steps: tuple[int, ...]
    """Training steps of each run's checkpoint; the run may have later evaluations."""
    returns: NDArray[np.float64]
    """Undiscounted returns of all episodes of all runs, with deterministic actions."""
    values: ValueCheck
    """The Q values compared with the realised returns."""
    film: Film | None
    """Video of the run with the median last evaluation; None if not requested."""
    provenance: Provenance | None
    """Provenance in that run's own policy file; None before the run has ended."""


def measure(group: RunGroup, effort: MeasurementSettings, folder: Path) -> Measurement:
    """Evaluate, check and film the policies of a group's latest checkpoints.

    The policies are exported into `folder`.
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
    # From the checkpoint: a running or killed run has no current RUN/policy.onnx.
    paths = [folder / f"policy_{index}.onnx" for index in range(len(group.runs))]
    for run, path in zip(group.runs, paths, strict=True):
        export_run(run.folder, path)
    return paths
