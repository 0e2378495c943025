"""What readings and executed commands, step after step, mean to a learner.

The control loop asks it at every tick, and `sac-ros bag-to-buffer` again for what was recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.action import ActionScaling
from sac_ros.task.ending import Ending
from sac_ros.task.observation import ObservationBuilder, Readings
from sac_ros.task.reward import RewardFunction, Step
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.termination import TerminationRule
from sac_ros.task.transition import Transition

Rate = Callable[[Step], float]
"""A step -> its reward; NaN where somebody else is to rate it."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the readings of one control step say."""

    readings: Readings
    obs: NDArray[np.float32]
    step: int
    """Of the step that begins here, counted from 0 in the episode."""
    termination_reason: str | None
    is_truncated: bool
    """The time limit, or a person, cuts the episode short here."""
    is_aborted: bool
    """It was a person."""
    complete_step: Callable[[], Transition] | None
    """Works out the step that these readings complete; None at the first of an episode."""

    @property
    def is_end(self) -> bool:
        """Say whether the episode ends here: what is commanded now begins no step."""
        return self.termination_reason is not None or self.is_truncated


class _Begun(NamedTuple):
    """A step that waits for its consequence."""

    episode: int
    step: int
    readings: Readings
    obs: NDArray[np.float32]
    command: NDArray[np.float64]
    intervention: bool
    previous_command: NDArray[np.float64] | None


class Experience:
    """Makes transitions of one task, episode after episode: `observe`, then `execute`."""

    def __init__(
        self,
        task: TaskSpec,
        max_episode_steps: int | None,
        *,
        rate: Rate | None = None,
        success_reward: float = 1.0,
    ) -> None:
        """`max_episode_steps` cuts episodes short; None leaves them without a time limit.

        `rate` gives the reward in place of the task's terms. `success_reward` comes on top where
        an episode is ended by success; a step that somebody else was to rate earns just that.
        """
        # Reward readings too: no command may follow from readings that a learner cannot judge.
        self._observation = ObservationBuilder(task.observation, required=task.reward_readings)
        self._scaling = ActionScaling(task.action)
        self._rate: Rate = rate or RewardFunction(task)
        self._success_reward = success_reward
        self._termination = TerminationRule(task)
        self._max_episode_steps = max_episode_steps
        self._no_action = np.zeros(task.action_dim)
        self._episode = -1
        self.start_episode()

    def start_episode(self) -> None:
        """Forget the past: the next readings are the first of a new episode."""
        self._episode += 1
        self._begun: _Begun | None = None
        self._observation.reset()

    @property
    def has_begun_step(self) -> bool:
        """Say whether a command waits for its consequence."""
        return self._begun is not None

    def observe(self, readings: Readings, ending: Ending | None = None) -> Observed:
        """Return what these readings say; raise ObservationError if they are unusable.

        `ending` is what a person has called since the last readings. What the task's own rule says
        goes before `ABORT`, and that before the time limit.
        """
        obs = self._observation.build(readings)
        reason = self._termination.reason(readings)
        if reason is None and ending is Ending.SUCCESS:
            reason = ending.value
        begun = self._begun
        step = 0 if begun is None else begun.step + 1
        is_aborted = reason is None and ending is Ending.ABORT
        is_timed_out = begun is not None and step == self._max_episode_steps
        observed = Observed(
            readings=readings,
            obs=obs,
            step=step,
            termination_reason=reason,
            is_truncated=reason is None and (is_aborted or is_timed_out),
            is_aborted=is_aborted,
            complete_step=None,
        )
        if begun is None:
            return observed
        return replace(observed, complete_step=partial(self._complete, begun, observed, ending))

    def execute(
        self, observed: Observed, command: NDArray[np.float64], *, intervention: bool = False
    ) -> None:
        """Begin a step: this command [A], in the task's unit, answers what was observed.

        `intervention` says that it was a person who commanded it.
        """
        before = self._begun
        self._begun = _Begun(
            episode=self._episode,
            step=observed.step,
            readings=observed.readings,
            obs=observed.obs,
            command=command,
            intervention=intervention,
            previous_command=None if before is None else before.command,
        )

    def _complete(self, begun: _Begun, observed: Observed, ending: Ending | None) -> Transition:
        action = self._scaling.to_action(begun.command)
        previous_action = (
            self._no_action
            if begun.previous_command is None
            else self._scaling.to_action(begun.previous_command)
        )
        terminated = observed.termination_reason is not None
        reward = self._rate(
            Step(
                before=begun.readings,
                after=observed.readings,
                action=action,
                previous_action=previous_action,
                terminated=terminated,
            )
        )
        if ending is Ending.SUCCESS:
            # Not a plain sum: a step that waits to be rated has been rated by this.
            reward = float(np.nansum([reward, self._success_reward]))
        return Transition(
            episode=begun.episode,
            step=begun.step,
            obs=begun.obs,
            action=action,
            reward=reward,
            next_obs=observed.obs,
            terminated=terminated,
            truncated=observed.is_truncated,
            aborted=observed.is_aborted,
            intervention=begun.intervention,
        )
