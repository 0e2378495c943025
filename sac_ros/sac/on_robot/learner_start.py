"""Which learner a session begins with: the robot's own of before, the simulator's, or a new one."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from sac_ros.errors import InputError
from sac_ros.policy.contract import GoldenPairs, PolicyContract
from sac_ros.sac.checkpoints.checkpoint import SavedLearner, load_learner
from sac_ros.sac.checkpoints.checkpoint_manifest import MANIFEST, CheckpointError
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import LearnerState, SACLearner
from sac_ros.sac.on_robot.fine_tuning import adapted_state
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.learner_states import LearnerStates, non_finite_parts
from sac_ros.sac.on_robot.policy_ledger import PolicyLedger

SAME_ACTION = 1e-3
"""Mean distance, in units of [-1, 1], that rounding may put between the actions of one policy."""
RETURNS = "num_returns"
"""Where the robot's own checkpoint says how often the learner had gone back when it was saved."""

_log = logging.getLogger(__name__)


class RobotLearnerError(InputError):
    """What the learner should start from does not fit."""


@dataclass(frozen=True, kw_only=True)
class LearnerStart:
    """Makes the learner of a session from the robot's folder, or from `checkpoint`."""

    folder: Path
    checkpoint: Path | None
    """Of the training in simulation; None learns from scratch."""
    config: FineTuningConfig
    seed: int
    contract: PolicyContract

    @property
    def has_own(self) -> bool:
        """Whether an earlier session has saved a learner."""
        return (self.folder / "learner" / MANIFEST).exists()

    def learner(self, ledger: PolicyLedger, states: LearnerStates) -> SACLearner:
        """Return the learner to go on with; raise RobotLearnerError or CheckpointError."""
        own = self.folder / "learner"
        if not self.has_own:
            return self.first_learner()
        saved = load_learner(own)
        learner = self._learner_like(saved, own)
        learner.restore(self._state_to_go_on_with(saved, ledger, states))
        return learner

    def first_learner(self) -> SACLearner:
        """Return the simulator's learner, or a new one; raise as `learner` does."""
        task, golden = self.contract.task, self._golden()
        if self.checkpoint is None:
            return SACLearner(
                task.obs_dim,
                task.action_dim,
                # Several updates a step diverge without layer normalisation.
                self.config.learner_config(SACConfig(critic_layer_norm=True)),
                self.seed,
            )
        saved = load_learner(self.checkpoint)
        learner = self._learner_like(saved, self.checkpoint)
        learner.restore(adapted_state(saved.state, self.config.alpha))
        names = non_finite_parts(learner.state())
        if names:
            raise RobotLearnerError(
                f"the checkpoint in {self.checkpoint} holds {', '.join(names)} not finite: its"
                " training diverged; give one that was saved earlier"
            )
        _refuse_unless_policys_own(learner, golden, self.checkpoint)
        return learner

    def _state_to_go_on_with(
        self, saved: SavedLearner, ledger: PolicyLedger, states: LearnerStates
    ) -> LearnerState:
        """Return the saved state, or an earlier version's where that one was left behind."""
        content = ledger.content
        num_returns = saved.progress.values.get(RETURNS, 0)
        is_outdated = isinstance(num_returns, int) and num_returns < content.num_returns
        names = non_finite_parts(saved.state)
        if not is_outdated and not names:
            return saved.state
        reason = f"{', '.join(names)} not finite" if names else "saved before the last rollback"
        newest = content.returned_to if is_outdated else max(ledger.sound_versions(), default=0)
        state = newest_sound_state(ledger, states, newest)
        if state is None:
            if names:
                _log.warning(
                    f"{self.folder / 'learner'} is left out ({reason}); learning begins anew"
                )
                return self.first_learner().state()
            return saved.state
        version, found = state
        _log.warning(
            f"{self.folder / 'learner'} is left out ({reason}); learning goes on from version"
            f" {version}"
        )
        return found

    def _learner_like(self, saved: SavedLearner, source: Path) -> SACLearner:
        """Return a learner with the networks of a saved one, or refuse that one."""
        task = self.contract.task
        self._golden()
        if not isinstance(saved.config, SACConfig):
            raise RobotLearnerError(
                f"{source} was trained by another algorithm than sac; only that learns on robots"
            )
        found, wanted = (saved.obs_dim, saved.action_dim), (task.obs_dim, task.action_dim)
        if found != wanted:
            raise RobotLearnerError(
                f"the checkpoint in {source} has (obs_dim, action_dim) {found}, the policy"
                f" {wanted}; give the checkpoint that the policy was exported from"
            )
        config = self.config.learner_config(saved.config)
        return SACLearner(task.obs_dim, task.action_dim, config, self.seed)

    def _golden(self) -> GoldenPairs:
        golden, task = self.contract.golden, self.contract.task
        if not isinstance(golden, GoldenPairs):
            raise RobotLearnerError(
                f"the policy chooses among the {len(task.action.choices or ())} commands of task"
                f" {task.name!r}; only policies of sac, which command anything within limits, go on"
                " learning on robots"
            )
        return golden


def newest_sound_state(
    ledger: PolicyLedger, states: LearnerStates, newest: int
) -> tuple[int, LearnerState] | None:
    """Return the newest version up to `newest` whose learner is whole and finite, and that."""
    for version in ledger.sound_versions():
        if version > newest or not states.has(version):
            continue
        try:
            return version, states.load(version)
        except CheckpointError as error:
            _log.warning(f"version {version} cannot be gone back to: {error}")
    return None


def _refuse_unless_policys_own(learner: SACLearner, golden: GoldenPairs, source: Path) -> None:
    """Raise RobotLearnerError unless this learner's actor is the policy that the robot runs.

    Else the first policy sent would not be that one, improved, but another one altogether.
    """
    with torch.no_grad():
        mode = learner.actor.mode(torch.tensor(golden.obs, dtype=torch.float32))
    difference = float((mode - torch.tensor(golden.mean).tanh()).abs().mean())
    if not difference <= SAME_ACTION:
        raise RobotLearnerError(
            f"the checkpoint in {source} does not belong to the policy: their actions differ by"
            f" {difference:.3f} on average; give the training's own policy.onnx, or the one that"
            " sac-ros export makes of the checkpoint (best_policy.onnx may be of earlier steps)"
        )
