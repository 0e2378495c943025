"""One tick of control: readings, observation, action, filtered command, and the transition."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.safety_filter import SafetyFilter
from sac_ros.task.action import ActionScaling
from sac_ros.task.observation import ObservationBuilder, Readings
from sac_ros.task.reward import RewardFunction, Step
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.termination import TerminationRule
from sac_ros.task.transition import Transition

SelectAction = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""obs [O] -> action [A] in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one control step decided."""

    command: NDArray[np.float64]
    """For the robot, in the task's unit [A]; the safe command once the episode has ended."""
    termination_reason: str | None
    is_truncated: bool
    """The time limit ends the episode here."""
    is_fault: bool
    """The policy asked for something that is not finite."""
    complete_step: Callable[[], Transition] | None

    @cached_property
    def transition(self) -> Transition | None:
        """The step that these readings complete; None on the first tick of an episode.

        Worked out when it is first asked for: the robot need not wait for the reward.
        """
        return None if self.complete_step is None else self.complete_step()


class _Pending(NamedTuple):
    """What was decided at the last tick, waiting for its consequence."""

    episode: int
    step: int
    readings: Readings
    obs: NDArray[np.float32]
    command: NDArray[np.float64]
    previous_command: NDArray[np.float64] | None


class ControlLoop:
    """Runs one task with one policy, episode after episode, on whatever supplies readings."""

    def __init__(
        self, task: TaskSpec, select_action: SelectAction, max_episode_steps: int | None
    ) -> None:
        """`max_episode_steps` cuts episodes short; None leaves them without a time limit."""
        self.select_action = select_action
        self.safety_filter = SafetyFilter(task.action, task.control_period_s)
        # Reward readings too: no command may follow from readings that a learner cannot judge.
        self._observation = ObservationBuilder(task.observation, required=task.reward_readings)
        self._scaling = ActionScaling(task.action)
        self._reward = RewardFunction(task)
        self._termination = TerminationRule(task)
        self._max_episode_steps = max_episode_steps
        self._safe_command = np.array(task.action.safe_command, dtype=np.float64)
        self._no_action = np.zeros(task.action_dim)
        self._episode = -1
        self.start_episode()

    def start_episode(self) -> None:
        """Forget the past: the next tick is the first of a new episode."""
        self._episode += 1
        self._pending: _Pending | None = None
        self._observation.reset()
        self.safety_filter.reset()

    def tick(self, readings: Readings) -> Tick:
        """Decide the command for these readings; raise ObservationError if they are unusable."""
        obs = self._observation.build(readings)
        reason = self._termination.reason(readings)
        last = self._pending
        is_truncated = (
            reason is None and last is not None and last.step + 1 == self._max_episode_steps
        )
        complete_step = (
            None
            if last is None
            else partial(self._complete, last, readings, obs, reason is not None, is_truncated)
        )
        # A robot that is already outside of its limits gets no first action either.
        if reason is not None or is_truncated:
            return Tick(
                command=self._safe_command.copy(),
                termination_reason=reason,
                is_truncated=is_truncated,
                is_fault=False,
                complete_step=complete_step,
            )
        num_faults = self.safety_filter.counts.non_finite
        command = self.safety_filter.apply(self._scaling.to_command(self.select_action(obs)))
        self._pending = _Pending(
            episode=self._episode,
            step=0 if last is None else last.step + 1,
            readings=readings,
            obs=obs,
            command=command,
            previous_command=None if last is None else last.command,
        )
        return Tick(
            command=command,
            termination_reason=None,
            is_truncated=False,
            is_fault=self.safety_filter.counts.non_finite > num_faults,
            complete_step=complete_step,
        )

    def _complete(
        self,
        begun: _Pending,
        readings: Readings,
        obs: NDArray[np.float32],
        terminated: bool,
        truncated: bool,
    ) -> Transition:
        """Return the transition from the last tick to this one."""
        action = self._scaling.to_action(begun.command)
        previous_action = (
            self._no_action
            if begun.previous_command is None
            else self._scaling.to_action(begun.previous_command)
        )
        reward = self._reward(
            Step(
                before=begun.readings,
                after=readings,
                action=action,
                previous_action=previous_action,
                terminated=terminated,
            )
        )
        return Transition(
            episode=begun.episode,
            step=begun.step,
            obs=begun.obs,
            action=action,
            reward=reward,
            next_obs=obs,
            terminated=terminated,
            truncated=truncated,
        )
