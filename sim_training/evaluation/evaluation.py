"""The result of one evaluation: a row of progress.csv."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_training.evaluation.rollout import Episode


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Statistics of the episodes of one evaluation, with deterministic actions."""

    step: int
    """Environment steps of training before this evaluation."""
    wall_s: float
    """Wall-clock time of training until then; includes evaluations, excludes interruptions."""
    return_mean: float
    return_std: float
    """Population standard deviation over the episodes."""
    episode_length_mean: float
    return_min: float
    return_max: float

    @classmethod
    def of(cls, episodes: Sequence[Episode], *, step: int, wall_s: float) -> "Evaluation":
        """Summarise the episodes of one evaluation."""
        returns = np.array([episode.episode_return for episode in episodes])
        lengths = np.array([episode.length for episode in episodes])
        return cls(
            step=step,
            wall_s=round(wall_s, 3),
            return_mean=float(returns.mean()),
            return_std=float(returns.std()),
            episode_length_mean=float(lengths.mean()),
            return_min=float(returns.min()),
            return_max=float(returns.max()),
        )

    def __str__(self) -> str:
        return (
            f"step {self.step}: evaluation return {self.return_mean:.1f} ± {self.return_std:.1f},"
            f" episode length {self.episode_length_mean:.0f}, {self.wall_s:.0f} s"
        )
