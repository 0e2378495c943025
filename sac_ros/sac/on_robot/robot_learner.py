"""The learner of one robot; its transitions, weights and policies outlast the process.

A folder holds the transitions (`transitions/`), those that a person commanded once more
(`demonstrations/`), the learner (`learner/`), the ledger of its policies (`ledger.json`), the
learners behind them (`versions/`), the newest policy files (`policies/`), the best one
(`best_policy.onnx`) and one row an episode (`episodes.csv`). Knows no ROS.
"""

import contextlib
import time
from collections.abc import Callable

from sac_ros.atomic_write import disk_errors_as
from sac_ros.policy.contract import PolicyContract
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate
from sac_ros.sac.on_robot.background_compilation import BackgroundCompilation
from sac_ros.sac.on_robot.best_policy import BestPolicy
from sac_ros.sac.on_robot.fine_tuning import DivergedError, FineTuning, Phase
from sac_ros.sac.on_robot.learner_recovery import LearnerRecovery
from sac_ros.sac.on_robot.learner_start import RETURNS
from sac_ros.sac.on_robot.learner_states import save_learner
from sac_ros.sac.on_robot.policy_ledger import RobotFolderError
from sac_ros.sac.on_robot.policy_maker import PolicyMaker
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.sac.on_robot.robot_memory import RobotMemory
from sac_ros.sac.on_robot.robot_policies import RobotPolicies
from sac_ros.task.action import exceeds_limits
from sac_ros.task.transition import Transition, TransitionError

SAVE_PERIOD_S = 30.0


class RobotLearner:
    """The learner node without ROS: transitions in, policies out."""

    def __init__(self, settings: RobotLearnerSettings, contract: PolicyContract) -> None:
        """Read what was there; raise an InputError if it is another robot's or task's."""
        self.settings, self.contract = settings, contract
        folder, config = settings.folder, settings.config
        policies = RobotPolicies(folder, contract, settings.keep_policies)
        self.policies, self.ledger = policies, policies.ledger
        start = settings.start(contract)
        # What can be refused comes before what must be closed again.
        learner = start.learner(policies.ledger, policies.states)
        prior = settings.prior(contract)
        self.memory = RobotMemory(folder, contract, config.buffer_capacity, settings.seed)
        self.log, self.demonstrations = self.memory.log, self.memory.demonstrations
        self.tally = self.memory.counter
        self.fine_tuning = FineTuning(
            learner, config, self.memory.buffer, prior, self.demonstrations.buffer
        )
        self.fine_tuning.count_earlier(self.log.num_added)
        self._recovery = LearnerRecovery(self.fine_tuning, policies)
        self._maker = PolicyMaker(contract, folder, settings.seed)
        policies.ledger.see_version(self.memory.newest_version)
        policies.enter_policy_that_came(start, learner)
        self.best = BestPolicy(folder, policies.folder, policies.ledger)
        self._saved_s = time.monotonic()
        # The first export traces the network, for seconds; nobody waits for it yet.
        self._maker.export(self.fine_tuning, self.memory)
        self._compilation: BackgroundCompilation | None = None
        if settings.compiled:
            self._compilation = BackgroundCompilation(learner, config.batch_size)
            self._compilation.start()

    @property
    def version(self) -> int:
        """Highest version ever given to a policy, or taken by the robot."""
        return self.ledger.content.newest_version

    @property
    def paused(self) -> str | None:
        """Why nothing is learned at the moment, also in the next process; None while learning."""
        return self.ledger.content.paused

    def add(self, transition: Transition) -> None:
        """Keep a transition for good, and learn from it.

        Raises TransitionError or NonFiniteTransitionError for one that is refused, which changes
        nothing; TransitionLogError or RobotFolderError (full disk) for one that is learned from but
        not kept, or whose episode is not.
        """
        if exceeds_limits(transition.action):
            raise TransitionError(f"the action {transition.action} lies outside of [-1, 1]")
        self.fine_tuning.add(transition)
        with disk_errors_as(RobotFolderError, self.settings.folder):
            episode = self.memory.keep(transition, self.fine_tuning.robot_steps)
            if episode is not None and episode.is_the_policys_own:
                self.best.add(episode)

    def learn_while(self, has_time: Callable[[], bool]) -> int:
        """Take updates that are due until time is up; return how many.

        A learner that diverges goes back to its last sound state and pauses.
        """
        if self.paused is not None or self.is_compiling:
            return 0
        self._let_compiled_learner_in()
        try:
            return self.fine_tuning.update_while(has_time)
        except DivergedError as error:
            self._recovery.give_up(str(error))
            return 0

    @property
    def is_compiling(self) -> bool:
        """Whether updates still wait for being compiled; transitions are taken in all the same."""
        return self._compilation is not None and self._compilation.is_running

    @property
    def has_news(self) -> bool:
        """Whether the actor has learned since the last policy was made of it."""
        return (
            self.paused is None
            and self.fine_tuning.phase is Phase.TUNING
            and self.fine_tuning.num_new_updates > 0
        )

    def make_update(self, num_rollbacks: int) -> PolicyUpdate:
        """Make a policy of the actor, under a version of its own.

        Raises DivergedError where the learner is not finite: it has gone back and paused then;
        another InputError where the policy cannot be made or kept: no version is given then.
        """
        # First, so that what fails once is not tried without end.
        self.fine_tuning.note_export()
        self._recovery.refuse_unless_finite()
        return self.policies.enter(
            self._maker.export(self.fine_tuning, self.memory),
            self.fine_tuning.learner,
            self.fine_tuning.robot_steps,
            num_rollbacks,
        )

    def standing_update(self, num_rollbacks: int) -> PolicyUpdate | None:
        """Return the newest policy again, for a robot that has not taken it; None if rejected."""
        return self.policies.newest(self.fine_tuning.robot_steps, num_rollbacks)

    def heed(self, status: PolicyStatus) -> None:
        """Count versions on from those of the robot, and keep what it may come back to.

        Raises RobotFolderError (full disk).
        """
        self.ledger.hear(status)

    def has_followed(self, status: PolicyStatus) -> bool:
        """Tell whether the rollback that the robot speaks of is known, perhaps of before a kill."""
        return self.ledger.has_followed_last_rollback

    def roll_back(self, status: PolicyStatus) -> None:
        """Become the learner of the policy that the robot went back to, mark the rest, pause.

        Raises an InputError where that cannot be written down (full disk).
        """
        self.memory.expect_rejected(status)
        self._recovery.follow(status)
        self.save()

    def pause(self, reason: str) -> None:
        """Learn nothing until `resume`, also in later processes; raise RobotFolderError."""
        self.ledger.update(paused=self.paused or reason)

    def resume(self) -> None:
        """Go on learning; raise RobotFolderError (full disk)."""
        self.ledger.update(paused=None, resumed=self.ledger.content.heard)

    @property
    def acknowledged_rollbacks(self) -> int:
        """Rollbacks of the robot's session after which an operator let learning go on."""
        return self.ledger.acknowledged_rollbacks

    def save_if_due(self) -> None:
        """Save the learner now and then; raise as `save` does."""
        if time.monotonic() - self._saved_s > SAVE_PERIOD_S:
            self.save()

    def save(self) -> None:
        """Save learner and transitions down to the disk.

        Raises CheckpointError or TransitionLogError (full disk).
        """
        # First, so that a disk that stays full is tried again after a while, not at once.
        self._saved_s = time.monotonic()
        with contextlib.suppress(DivergedError):
            self._recovery.refuse_unless_finite()
        values = {
            "robot_steps": self.fine_tuning.robot_steps,
            RETURNS: self.ledger.content.num_returns,
        }
        save_learner(self.settings.folder / "learner", self.fine_tuning.learner, values)
        self.memory.sync()

    def close(self) -> None:
        """Save, and let another process have the folder."""
        try:
            self.memory.mark_rejected()
            self.save()
        finally:
            self.memory.close()

    def _let_compiled_learner_in(self) -> None:
        if self._compilation is not None:
            self.fine_tuning.learner = self._compilation.twin(self.fine_tuning.learner.state())
            self._compilation = None
