"""Going back to an earlier learner: after a rollback of the robot, or when learning diverges."""

from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.sac.learners.learner import LearnerState
from sac_ros.sac.on_robot.fine_tuning import DivergedError, FineTuning
from sac_ros.sac.on_robot.learner_states import non_finite_parts
from sac_ros.sac.on_robot.robot_policies import RobotPolicies


class LearnerRecovery:
    """Restores the learner of an earlier version, and enters that, and why, in the ledger."""

    def __init__(self, tuning: FineTuning, policies: RobotPolicies) -> None:
        self._tuning = tuning
        self._policies = policies

    def refuse_unless_finite(self) -> None:
        """Go back and raise DivergedError if a weight, target or moment is not finite."""
        names = non_finite_parts(self._tuning.learner.state())
        if names:
            reason = f"{', '.join(names[:3])} not finite"
            self.give_up(reason)
            raise DivergedError(f"learning diverged ({reason}); it went back and is paused")

    def give_up(self, reason: str) -> None:
        """Go back to the learner of the newest sound version, and pause; raise RobotFolderError."""
        self._go_back(self._policies.newest_sound(), f"learning diverged ({reason})")

    def follow(self, status: PolicyStatus) -> None:
        """Become the learner of the policy that the robot went back to, and pause.

        Raises RobotFolderError (full disk).
        """
        choice = self._policies.robots_choice(status)
        self._go_back(choice, f"rolled back: {status.reason}", status)

    def _go_back(
        self,
        choice: tuple[int, LearnerState] | None,
        reason: str,
        status: PolicyStatus | None = None,
    ) -> None:
        version = 0
        if choice is None:
            reason += "; no earlier learner can be read, so nothing was taken back"
        else:
            version, state = choice
            self._tuning.restore(state)
        self._policies.ledger.go_back(version, reason, status)
