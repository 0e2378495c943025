"""The settings of a robot's learner: its folder, its start and its recipe."""

from dataclasses import dataclass
from pathlib import Path

from sac_ros.policy.contract import PolicyContract
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.learner_start import LearnerStart
from sac_ros.sac.on_robot.prior_transitions import load_prior
from sac_ros.sac.replay.replay_buffer import ReplayBuffer


@dataclass(frozen=True, kw_only=True)
class RobotLearnerSettings:
    """Folder, checkpoint and recipe of a robot's learner."""

    folder: Path
    checkpoint: Path | None
    """Of the training in simulation; None learns from scratch."""
    uses_prior: bool
    """Whether batches are mixed with the simulator's transitions, or with these:"""
    prior_transitions: Path | None = None
    """A folder that `sac-ros bag-to-buffer` wrote, in place of the simulator's transitions."""
    config: FineTuningConfig
    seed: int
    keep_policies: int = 16
    """Policy files that are kept, the newest ones."""
    compiled: bool = True
    """Whether updates run as one compiled function; they wait until it is compiled."""

    def start(self, contract: PolicyContract) -> LearnerStart:
        """Return what makes the learner of a session."""
        return LearnerStart(
            folder=self.folder,
            checkpoint=self.checkpoint,
            config=self.config,
            seed=self.seed,
            contract=contract,
        )

    def prior(self, contract: PolicyContract) -> ReplayBuffer | None:
        """Return the transitions to mix in, if any; raise as `load_prior` does."""
        if not self.uses_prior:
            return None
        return load_prior(self.checkpoint, self.prior_transitions, contract, self.seed + 1)
