"""The state of the training loop, besides learner and replay buffer.

Shapes: n environments, T steps of an episode so far, O obs_dim, A action_dim.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from sac_ros.sac.checkpoints.checkpoint import Progress
from sac_ros.task.strict_yaml import parse_mapping
from sim_training.environments.episode_replay import EpisodeRecord
from sim_training.evaluation.evaluation import Evaluation
from sim_training.evaluation.rollout import Episode


@dataclass(kw_only=True)
class TrainingProgress:
    """Counters, running episodes and evaluations of one run; part of every checkpoint."""

    step: int = 0
    """Environment steps taken so far, summed over all environments."""
    pending_updates: float = 0.0
    """Updates not taken yet that the update-to-data ratio requires; below 1 between steps."""
    wall_s: float = 0.0
    """Wall-clock time of training so far, interruptions excluded."""
    episode_return: NDArray[np.float64]  # [n], of the running episodes
    episode_length: NDArray[np.int64]  # [n]
    obs_low: NDArray[np.float32]
    """Minimum of each observation entry so far [O]."""
    obs_high: NDArray[np.float32]
    """Maximum of each observation entry so far [O]."""
    evaluations: list[Evaluation] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    """The command that started the run, and those that resumed it."""

    @classmethod
    def at_first_obs(cls, obs: NDArray[np.float32]) -> "TrainingProgress":
        """Return the progress of a new run, from its first observations [n, O]."""
        return cls(
            episode_return=np.zeros(len(obs)),
            episode_length=np.zeros(len(obs), dtype=np.int64),
            obs_low=obs.min(axis=0),
            obs_high=obs.max(axis=0),
        )

    def count_step(
        self,
        reward: NDArray[np.float64],
        successor: NDArray[np.float32],
        next_obs: NDArray[np.float32],
    ) -> None:
        """Count one step of all environments: reward [n], successor and next_obs [n, O].

        `successor` is the observation that the step led to. Where an episode ended, `next_obs` is
        the first observation of the next episode instead.
        """
        self.step += len(reward)
        self.episode_return += reward
        self.episode_length += 1
        for obs in (successor,) if successor is next_obs else (successor, next_obs):
            np.minimum(self.obs_low, obs.min(axis=0), out=self.obs_low)
            np.maximum(self.obs_high, obs.max(axis=0), out=self.obs_high)

    def pop_finished_episodes(self, ended: NDArray[np.bool_]) -> list[Episode]:
        """Return the finished episodes, where `ended` [n], and reset their counters."""
        episodes = [
            Episode(
                episode_return=float(self.episode_return[index]),
                length=int(self.episode_length[index]),
            )
            for index in np.flatnonzero(ended)
        ]
        self.episode_return[ended] = 0.0
        self.episode_length[ended] = 0
        return episodes

    def crossed_multiple_of(self, every: int) -> bool:
        """Return whether the latest step reached or passed a multiple of `every`."""
        before = self.step - len(self.episode_return)
        return self.step // every > before // every

    @property
    def evaluation_return(self) -> float | None:
        """Mean return of the last evaluation."""
        return self.evaluations[-1].return_mean if self.evaluations else None

    @property
    def is_evaluated(self) -> bool:
        """Whether the last evaluation was at this step."""
        return bool(self.evaluations) and self.evaluations[-1].step == self.step

    @property
    def best_evaluation(self) -> Evaluation:
        """The first evaluation with the highest mean return; there must be one evaluation."""
        return max(self.evaluations, key=lambda evaluation: evaluation.return_mean)

    def is_solved(self, stop_at_return: float | None) -> bool:
        """Return whether every episode of the last two evaluations reached `stop_at_return`."""
        if stop_at_return is None or len(self.evaluations) < 2:
            return False
        return min(evaluation.return_min for evaluation in self.evaluations[-2:]) >= stop_at_return


@dataclass(frozen=True, kw_only=True)
class LoopState:
    """The state of the loop as a checkpoint stores it."""

    progress: TrainingProgress
    episodes: tuple[EpisodeRecord, ...]
    """The running episode of each environment."""
    warmup_rng_state: str
    """State, as JSON, of the generator of the random actions before learning starts."""
    golden_obs: NDArray[np.float32]
    """Observations [32, O] for the reference outputs in an exported policy file."""

    def to_checkpoint(self) -> Progress:
        """Return the state as JSON values and arrays."""
        progress = self.progress
        values = _StoredValues(
            step=progress.step,
            updates_owed=progress.pending_updates,
            wall_s=progress.wall_s,
            evaluations=tuple(progress.evaluations),
            commands=tuple(progress.commands),
            episodes=tuple(
                _EpisodeStart(seed=episode.seed, rng_state=episode.rng_state)
                for episode in self.episodes
            ),
            warmup_rng_state=self.warmup_rng_state,
        )
        arrays = {name: getattr(progress, name) for name in _PROGRESS_ARRAYS}
        for index, episode in enumerate(self.episodes):
            arrays[f"episode_{index}_actions"] = episode.actions
            arrays[f"episode_{index}_obs"] = episode.obs
        return Progress(values=asdict(values), arrays=arrays | {"golden_obs": self.golden_obs})

    @classmethod
    def from_checkpoint(cls, saved: Progress) -> "LoopState":
        """Restore the state from a checkpoint; raise ConfigError if its keys do not match."""
        values = parse_mapping(saved.values, _StoredValues, "the checkpoint's progress")
        arrays = saved.arrays
        progress = TrainingProgress(
            step=values.step,
            pending_updates=values.updates_owed,
            wall_s=values.wall_s,
            evaluations=list(values.evaluations),
            commands=list(values.commands),
            episode_return=arrays["episode_return"].astype(np.float64),
            episode_length=arrays["episode_length"].astype(np.int64),
            obs_low=arrays["obs_low"].astype(np.float32),
            obs_high=arrays["obs_high"].astype(np.float32),
        )
        episodes = tuple(
            EpisodeRecord(
                seed=start.seed,
                rng_state=start.rng_state,
                actions=arrays[f"episode_{index}_actions"].astype(np.float32),
                obs=arrays[f"episode_{index}_obs"].astype(np.float32),
            )
            for index, start in enumerate(values.episodes)
        )
        return cls(
            progress=progress,
            episodes=episodes,
            warmup_rng_state=values.warmup_rng_state,
            golden_obs=arrays["golden_obs"].astype(np.float32),
        )


_PROGRESS_ARRAYS = ("episode_return", "episode_length", "obs_low", "obs_high")


@dataclass(frozen=True, kw_only=True)
class _EpisodeStart:
    seed: int
    rng_state: str | None


@dataclass(frozen=True, kw_only=True)
class _StoredValues:
    """The part of a LoopState that is JSON."""

    step: int
    updates_owed: float
    """`pending_updates`, under the key that earlier checkpoints have."""
    wall_s: float
    evaluations: tuple[Evaluation, ...]
    commands: tuple[str, ...]
    episodes: tuple[_EpisodeStart, ...]
    warmup_rng_state: str
