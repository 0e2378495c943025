"""The schedule of fine-tuning: which updates run when, and on which transitions.

Knows neither topics nor disks: transitions come in, updates are taken when somebody gives it time.
Shapes: B batch, O obs_dim, A action_dim.
"""

import math
from collections.abc import Callable
from enum import Enum

import torch

from sac_ros.errors import InputError
from sac_ros.sac.learners.learner import LearnerState, SACLearner, SACMetrics
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.replay.replay_buffer import Batch, ReplayBuffer
from sac_ros.sac.replay.transition_rows import add_transition
from sac_ros.task.transition import Transition

# Adam divides by the gradient's size: at this rate ten thousand updates move no weight by 1e-8.
FROZEN_RATE = 1e-12


class Phase(Enum):
    """How the robot's transitions are used."""

    WARM_UP = "warm_up"
    """Collected, without updates."""
    CRITIC = "critic"
    """Only the critics learn."""
    TUNING = "tuning"
    """All learn."""


class DivergedError(InputError):
    """An update gave losses, or left weights, that are not finite."""


class FineTuning:
    """A learner, its replay buffers, and the number of updates that are due."""

    def __init__(
        self,
        learner: SACLearner,
        config: FineTuningConfig,
        online: ReplayBuffer,
        prior: ReplayBuffer | None,
        demonstrations: ReplayBuffer | None = None,
    ) -> None:
        self.learner = learner
        self.config = config
        self.online = online
        self.prior = prior
        self.demonstrations = demonstrations
        self.metrics: SACMetrics | None = None
        """Of the last update."""
        self._num_dropped = 0.0
        self.num_new_updates = 0
        """Since the last policy was made, or since an earlier learner was restored."""
        self._updates_owed = 0.0
        self._robot_steps = self._exported_steps = 0

    @property
    def robot_steps(self) -> int:
        """Transitions taken from the robot, those of earlier sessions included."""
        return self._robot_steps

    @property
    def num_dropped(self) -> int:
        """Whole updates given up because the machine was too slow for the ratio."""
        # The ratio may be a fraction that binary numbers only approach.
        return int(self._num_dropped + 1e-6)

    @property
    def updates_owed(self) -> int:
        """Whole updates that are due: the ratio asks for them, and they have not run yet."""
        return int(self._updates_owed)

    @property
    def phase(self) -> Phase:
        """What the robot steps taken so far make of the next update."""
        if self._robot_steps < self.config.warmup_steps:
            return Phase.WARM_UP
        if self._robot_steps < self.config.warmup_steps + self.config.critic_steps:
            return Phase.CRITIC
        return Phase.TUNING

    def count_earlier(self, robot_steps: int) -> None:
        """Count the steps of earlier sessions; no updates are due for them."""
        self._robot_steps = self._exported_steps = robot_steps

    def add(self, transition: Transition) -> None:
        """Learn from this transition from now on; raise NonFiniteTransitionError."""
        add_transition(self.online, transition)
        self._robot_steps += 1
        owed = self._updates_owed + self.config.utd_ratio
        self._updates_owed = min(owed, float(self.config.max_updates_owed))
        self._num_dropped += owed - self._updates_owed

    @property
    def steps_since_export(self) -> int:
        """Robot steps since the last policy was made."""
        return self._robot_steps - self._exported_steps

    def note_export(self) -> None:
        """Count updates and steps from here on as news for the next policy."""
        self.num_new_updates, self._exported_steps = 0, self._robot_steps

    def update_while(self, has_time: Callable[[], bool]) -> int:
        """Run updates that are due, at least one, until time is up; return how many.

        Raises DivergedError.
        """
        count = 0
        while self._may_update and (count == 0 or has_time()):
            self._see_to_phase()
            self.metrics = self.learner.update(self._draw())
            self._updates_owed -= 1.0
            self.num_new_updates += 1
            count += 1
            if not (math.isfinite(self.metrics.qf_loss) and math.isfinite(self.metrics.actor_loss)):
                raise DivergedError(
                    f"qf_loss {self.metrics.qf_loss}, actor_loss {self.metrics.actor_loss}"
                )
        return count

    def restore(self, state: LearnerState) -> None:
        """Become an earlier learner; updates that were due are dropped without being counted."""
        self.learner.restore(state)
        self._updates_owed = 0.0
        self.num_new_updates = 0

    @property
    def _may_update(self) -> bool:
        return self.phase is not Phase.WARM_UP and self._updates_owed >= 1.0

    def _see_to_phase(self) -> None:
        """Freeze the actor for the critic's phase, and let it go after it.

        Adam's moments of the actor are updated meanwhile, so its first real step uses current ones.
        """
        is_frozen = self.phase is Phase.CRITIC
        rate = FROZEN_RATE if is_frozen else self.config.actor_learning_rate
        self.learner.set_actor_learning_rate(rate)

    def _draw(self) -> Batch:
        """Draw a batch [B] of demonstrations, prior transitions and the robot's own."""
        size = self.config.batch_size
        wanted = round(size * self.config.demonstration_share)
        # Each once a batch on average, at most: a few must not be learned by heart.
        num_shown = min(wanted, _num_in(self.demonstrations))
        share = self.config.prior_share_at(self._robot_steps)
        num_prior = round((size - num_shown) * share) if _num_in(self.prior) else 0
        draws = (
            (self.demonstrations, num_shown),
            (self.prior, num_prior),
            (self.online, size - num_shown - num_prior),
        )
        parts = [source.sample(num) for source, num in draws if source is not None and num > 0]
        # Also of one part, because a compiled update takes batches of one memory layout only.
        return Batch(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _num_in(buffer: ReplayBuffer | None) -> int:
    return 0 if buffer is None else len(buffer)


def adapted_state(state: LearnerState, alpha: float | None) -> LearnerState:
    """Return the simulator's learner with another temperature, and no momentum in it."""
    if alpha is None:
        return state
    tensors = {
        name: torch.zeros_like(tensor) if name.startswith("alpha_optimizer.") else tensor
        for name, tensor in state.tensors.items()
    }
    tensors["log_alpha"] = torch.full_like(state.tensors["log_alpha"], math.log(alpha))
    return LearnerState(num_updates=state.num_updates, tensors=tensors)
