"""One tick of control: readings, observation, action, filtered command, and the transition."""

from collections.abc import Callable
from dataclasses import dataclass

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
    transition: Transition | None
    """The step that these readings complete; None on the first tick of an episode."""
    termination_reason: str | None
    is_fault: bool
    """The policy asked for something that is not finite."""


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """What was decided at the last tick, waiting for its consequence."""

    readings: Readings
    obs: NDArray[np.float32]
    action: NDArray[np.float64]


class ControlLoop:
    """Runs one task with one policy, episode after episode, on whatever supplies readings."""

    def __init__(
        self, task: TaskSpec, select_action: SelectAction, max_episode_steps: int | None
    ) -> None:
        """`max_episode_steps` cuts episodes short; None leaves them without a time limit."""
        self.select_action = select_action
        self.safety_filter = SafetyFilter(task.action, task.control_period_s)
        self._observation = ObservationBuilder(task.observation)
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
        self._step = 0
        self._pending: _Pending | None = None
        self._previous_action = self._no_action
        self._observation.reset()
        self.safety_filter.reset()

    def tick(self, readings: Readings) -> Tick:
        """Decide the command for these readings; raise ObservationError if they are unusable."""
        obs = self._observation.build(readings)
        reason = self._termination.reason(readings)
        transition = self._complete(readings, obs, reason is not None)
        # A robot that is already outside of its limits gets no first action either.
        if reason is not None or (transition is not None and transition.truncated):
            return Tick(
                command=self._safe_command.copy(),
                transition=transition,
                termination_reason=reason,
                is_fault=False,
            )
        asked = self._scaling.to_command(self.select_action(obs))
        command = self.safety_filter.apply(asked)
        self._pending = _Pending(
            readings=readings, obs=obs, action=self._scaling.to_action(command)
        )
        return Tick(
            command=command,
            transition=transition,
            termination_reason=None,
            is_fault=not np.isfinite(asked).all(),
        )

    def _complete(
        self, readings: Readings, obs: NDArray[np.float32], terminated: bool
    ) -> Transition | None:
        """Return the transition from the last tick to this one."""
        if self._pending is None:
            return None
        step, self._step = self._step, self._step + 1
        reward = self._reward(
            Step(
                before=self._pending.readings,
                after=readings,
                action=self._pending.action,
                previous_action=self._previous_action,
                terminated=terminated,
            )
        )
        self._previous_action = self._pending.action
        return Transition(
            episode=self._episode,
            step=step,
            obs=self._pending.obs,
            action=self._pending.action,
            reward=reward,
            next_obs=obs,
            terminated=terminated,
            truncated=not terminated and self._step == self._max_episode_steps,
        )
