"""One tick of control: readings, observation, action, filtered command, and the transition."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.safety_filter import SafetyFilter, Veto
from sac_ros.task.action import ActionScaling
from sac_ros.task.ending import Ending
from sac_ros.task.experience import Experience, Rate
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition

SelectAction = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""obs [O] -> action [A] in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one control step decided."""

    command: NDArray[np.float64] | None
    """For the robot, in the task's unit [A]; the last command if the episode ends here. None where
    no last command can be given."""
    termination_reason: str | None
    is_truncated: bool
    """The time limit, or a person, cuts the episode short here."""
    is_aborted: bool
    """It was a person."""
    is_fault: bool
    """The policy asked for something that is not finite."""
    refusal: str | None
    """Why the safety filter answered the policy with the task's reaction; None if it did not."""
    complete_step: Callable[[], Transition] | None

    @cached_property
    def transition(self) -> Transition | None:
        """The step that these readings complete; None on the first tick of an episode.

        Worked out when it is first asked for: the robot need not wait for the reward.
        """
        return None if self.complete_step is None else self.complete_step()


class ControlLoop:
    """Runs one task with one policy, episode after episode, on whatever supplies readings."""

    def __init__(
        self,
        task: TaskSpec,
        select_action: SelectAction,
        max_episode_steps: int | None,
        *,
        fade_in_s: float = 0.0,
        veto: Veto | None = None,
        rate: Rate | None = None,
        success_reward: float = 1.0,
    ) -> None:
        """Build the parts of the tick.

        `max_episode_steps` cuts episodes short; None leaves them without a time limit. Over
        `fade_in_s` from the start of an episode, and from the end of an intervention, the action
        is blended in, linearly in time. `rate` and `success_reward` are Experience's.
        """
        self.select_action = select_action
        self.safety_filter = SafetyFilter(task, veto)
        self._experience = Experience(
            task, max_episode_steps, rate=rate, success_reward=success_reward
        )
        self._scaling = ActionScaling(task.action)
        self._num_fade_steps = round(fade_in_s / task.control_period_s)
        self._num_faded = 0
        self._fade_from = self.safety_filter.last

    def start_episode(self) -> None:
        """Forget the past: the next tick is the first of a new episode, of a robot left alone."""
        self.interrupt()
        self.safety_filter.let_go()

    def interrupt(self) -> None:
        """Begin a new episode at the next tick, from the command that is now in force."""
        self._experience.start_episode()
        self._num_faded = 0

    def react(self, readings: Readings | None = None) -> NDArray[np.float64] | None:
        """Return the next command [A] of the task's reaction to a fault, which ends the episode.

        `readings` hold only what can be trusted. None where no command can be given.
        """
        if self._experience.has_begun_step:
            # What comes after the gap does not follow from what came before it.
            self.interrupt()
        return self.safety_filter.react(readings)

    def tick(
        self,
        readings: Readings,
        intervention: NDArray[np.float64] | None = None,
        ending: Ending | None = None,
    ) -> Tick:
        """Decide the command for these readings; raise ObservationError if they are unusable.

        `intervention` is what a person asks for in the policy's place [A], in the task's unit;
        `ending` is what a person has called since the last tick.
        """
        observed = self._experience.observe(readings, ending)
        # A robot that is already outside of its limits gets no first action either.
        if observed.is_end:
            return Tick(
                command=self.safety_filter.stop(readings),
                termination_reason=observed.termination_reason,
                is_truncated=observed.is_truncated,
                is_aborted=observed.is_aborted,
                is_fault=False,
                refusal=None,
                complete_step=observed.complete_step,
            )
        if not self.safety_filter.is_in_force:
            self.safety_filter.reset(readings)
        request = self._policys_request(observed.obs) if intervention is None else intervention
        command = self.safety_filter.apply(request, readings)
        refusal = self.safety_filter.refusal
        is_persons = intervention is not None
        if is_persons:
            self._num_faded = 0  # the policy comes back gently
        # What the filter put in a person's place is not that person's doing.
        self._experience.execute(observed, command, intervention=is_persons and refusal is None)
        return Tick(
            command=command,
            termination_reason=None,
            is_truncated=False,
            is_aborted=False,
            is_fault=refusal is not None and not np.isfinite(request).all(),
            refusal=refusal,
            complete_step=observed.complete_step,
        )

    def _policys_request(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the policy asks for [A], blended with the command in force for a while."""
        request = self._scaling.to_command(self.select_action(obs))
        if self._num_faded == self._num_fade_steps:
            return request
        if self._num_faded == 0:
            self._fade_from = self.safety_filter.last
        self._num_faded += 1
        share = self._num_faded / self._num_fade_steps
        return self._fade_from + share * (request - self._fade_from)
