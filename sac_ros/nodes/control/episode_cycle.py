"""What a policy node does when: turns messages, ticks and calls into events of control_phases.

Knows no ROS: time comes in as a number, and what it decides goes out through a RobotLink.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sac_ros.nodes.control.control_phases import COMMANDING, Event, Phase
from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.control.phase_machine import PhaseMachine
from sac_ros.nodes.control.reset_requests import ResetRequests
from sac_ros.nodes.control.robot_link import RobotLink
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop, Tick
from sac_ros.policy.observation_pacer import ObservationPacer
from sac_ros.task.ending import Ending
from sac_ros.task.observation import ObservationError
from sac_ros.task.task_spec import TaskSpec


@dataclass(kw_only=True)
class _Activation:
    """All that the cycle remembers; an activation begins with a new one."""

    pacer: ObservationPacer
    last_tick_s: float
    readings_count_from_s: float
    trouble: str | None = None
    waits_for: str | None = None
    ending: Ending | None = None
    is_intervened: bool = False
    stamps_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class EpisodeCycle:
    """Drives a ControlLoop through episodes, or through one run without end."""

    def __init__(
        self,
        *,
        task: TaskSpec,
        control_loop: ControlLoop,
        readings: SensorReadings,
        intervention: Intervention,
        link: RobotLink,
        resets_between_episodes: bool,
        reset_settle_s: float,
        reset_timeout_s: float = math.inf,
        max_late_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_late_s`: how much later than a control period after the last one a tick may come.

        `reset_timeout_s`: after so long without an answer, a reset is asked for once more.
        """
        self._period_s = task.control_period_s
        self._max_interval_s = task.control_period_s + max_late_s
        # A tick of a simulated clock may take its time, but the robot must not wait for ever.
        self._clock_patience_s = 2.0 * (
            task.control_period_s + max(reading.max_age_s for reading in task.readings)
        )
        self._clock = clock
        self._control_loop = control_loop
        self._readings = readings
        self._intervention = intervention
        self._link = link
        self._resets_between_episodes = resets_between_episodes
        self._reset_settle_s = reset_settle_s
        self._resets = ResetRequests(link, reset_timeout_s)
        self._deactivates = task.action.on_fault == "deactivate"
        self.num_late = 0
        """Ticks that came, or were ready, too late; counted from configure on."""
        self._machine = PhaseMachine(task, control_loop, readings, link, self._enter)
        self._now = self._new_activation(-math.inf)

    # What the node tells the cycle.

    def start(self, now_s: float) -> None:
        """Begin: with a reset where episodes have one, else with the first observation."""
        self._machine.fire(Event.ACTIVATE, now_s)
        self._begin_anew(now_s)

    def deactivate(self, now_s: float) -> None:
        """Send the last command, and be silent from now on."""
        self._machine.fire(Event.DEACTIVATE, now_s)

    def receive(self, topic: str, message: object, stamp_s: float, now_s: float) -> bool:
        """Store a sensor message; raise MessageError if it cannot be used.

        Returns whether it is one that may be acted on: others would hurry the steps.
        """
        self._machine.now_s = now_s
        if now_s < self._now.readings_count_from_s:
            return False
        return self._readings.store(topic, message, stamp_s, now_s)

    def act_on_observation(self, stamp_s: float, now_s: float) -> None:
        """Take a control step if all readings are there and the one that paces them was due."""
        if not self._machine.may_act() or self._is_late(now_s):
            return  # the next tick of the timer sees to it
        if self._readings.problem(now_s) is None and self._now.pacer.is_due(stamp_s):
            self._step(now_s)

    def act(self, now_s: float) -> None:
        """Take a control step, or see to what prevents it."""
        if self.watch(now_s):
            self._step(now_s)

    def watch(self, now_s: float) -> bool:
        """Say whether a step may be taken; if not, see to the robot's safety.

        To be called once a control period.
        """
        late_s = now_s - self._now.last_tick_s
        is_late = self._is_late(now_s)
        self._now.last_tick_s = now_s
        if self.phase is Phase.RESETTING:
            self._see_to_reset(now_s)
        elif not self._machine.may_act():
            self._machine.fire(Event.READY, now_s)
        elif is_late:
            self._fault_of_time(f"no control step for {late_s:.3f} s", now_s)
        else:
            problem = self._readings.problem(now_s)
            if problem is None:
                return True
            self._fault(problem, now_s)
        return False

    def watch_clock(self, now_s: float) -> None:
        """See to the robot's safety while a simulated clock stands still, and no tick comes.

        To be called once a control period of real time.
        """
        silent_s = now_s - self._now.last_tick_s
        if silent_s <= self._clock_patience_s:
            return
        if self.phase is Phase.RESETTING:
            self._see_to_reset(now_s)
        else:
            self._fault(f"/clock stands still: no tick for {silent_s:.3f} s", now_s)

    def latch(self, reason: str, now_s: float) -> None:
        """React to the worst, at once and until `release`."""
        self._take_ending()
        self._machine.fire(Event.ESTOP, now_s, reason)
        if self.phase is not Phase.LATCHED:
            return
        self._now.trouble = reason
        if self._deactivates:
            self._link.stop(reason)

    def release(self, now_s: float) -> None:
        """Begin anew after `latch`, as after an activation."""
        was_latched = self.phase is Phase.LATCHED
        self._machine.fire(Event.ESTOP_RESET, now_s)
        if was_latched:
            self._begin_anew(now_s)

    def end_episode(self, ending: Ending, now_s: float) -> str | None:
        """End the episode with the step that is under way; return why not, or None.

        `ABORT` also ends what has been given up already because of a fault.
        """
        if self.phase is Phase.RUNNING:
            # Whoever wants it aborted may know better than whoever saw a success.
            is_aborted = self._now.ending is Ending.ABORT
            self._now.ending = Ending.ABORT if is_aborted else ending
            return None
        if self.phase is Phase.REACTING and ending is Ending.ABORT:
            self._end(ending.value, now_s)
            return None
        return f"no episode runs: the node is {self.phase.name.lower()}"

    def finish_reset(self, number: int, refusal: str | None, now_s: float) -> None:
        """Start the next episode, unless the robot refused to reset, or that reset is outdated."""
        if self.phase is not Phase.RESETTING:
            return
        if not self._resets.take_answer(number, refusal, now_s):
            return
        self._machine.fire(Event.RESET_DONE, now_s)
        self._machine.forget_readings(now_s)
        # A message from before the reset may still be on its way.
        self._now.readings_count_from_s = now_s + self._reset_settle_s

    # What the node asks.

    @property
    def phase(self) -> Phase:
        """What the node is doing."""
        return self._machine.phase

    @property
    def is_commanding(self) -> bool:
        """Say whether commands are expected at every control period."""
        return self.phase in COMMANDING

    @property
    def is_intervened(self) -> bool:
        """Say whether the command in force is a person's."""
        return self._now.is_intervened

    @property
    def trouble(self) -> str | None:
        """What the task's reaction is being sent for; None while all is well."""
        return self._now.trouble

    @property
    def waits_for(self) -> str | None:
        """What a silent node waits for; None where it does not wait."""
        if self.phase is Phase.RESETTING:
            return self._resets.waits_for
        return self._now.waits_for if self.phase is Phase.WAITING else None

    def final_command(self) -> NDArray[np.float64] | None:
        """Return the command [A] to leave the robot with; None where none can be given."""
        return self._machine.final_command()

    def _enter(self, phase: Phase, now_s: float) -> None:
        """Take note of a new phase."""
        self._now.is_intervened &= phase is Phase.RUNNING
        self._now.waits_for = None
        if phase not in COMMANDING:
            self._now.trouble = None
        if phase is not Phase.RUNNING:
            self._now.pacer.reset()
        if phase is Phase.RESETTING:
            self._resets.begin(now_s)

    def _begin_anew(self, now_s: float) -> None:
        """Forget everything: only what arrives from now on counts."""
        self._now = self._new_activation(now_s)
        self._machine.forget_readings(now_s)
        self._intervention.clear()
        self._ask_for_reset(now_s)

    def _new_activation(self, now_s: float) -> _Activation:
        return _Activation(
            pacer=ObservationPacer(self._period_s),
            last_tick_s=now_s,
            readings_count_from_s=now_s,
        )

    # A control step, and what can come of it.

    def _step(self, now_s: float) -> None:
        readings = self._readings.snapshot()
        hindrance = self._control_loop.safety_filter.hindrance(readings)
        if hindrance is not None:
            self._fault(hindrance, now_s)
            return
        intervention = self._intervention.command(now_s)
        try:
            tick = self._control_loop.tick(readings, intervention, self._now.ending)
        except ObservationError as error:
            self._fault(str(error), now_s)
            return
        took_s = self._clock() - now_s
        if took_s > self._max_interval_s:
            self._control_loop.safety_filter.take_back()
            self._fault_of_time(f"a control step took {took_s:.3f} s", now_s)
            return
        self._now.ending = None
        why = _why_it_ends(tick)
        # The command first: the robot waits for it, the learner does not.
        self._machine.fire(
            Event.READY if why is None else Event.END, now_s, why or "", tick.command
        )
        self._pass_on_transition(tick)
        if why is not None:
            self._after_end(why, now_s)
            return
        self._note_who_commands(intervention is not None)
        self._readings.expect_motion(now_s)
        self._see_to_refusal(tick)

    def _pass_on_transition(self, tick: Tick) -> None:
        stamps_s = self._readings.stamps_s()
        if tick.transition is not None:
            self._link.publish_transition(
                replace(
                    tick.transition, obs_stamps_s=self._now.stamps_s, next_obs_stamps_s=stamps_s
                )
            )
        self._now.stamps_s = stamps_s

    def _see_to_refusal(self, tick: Tick) -> None:
        """Say that the filter answered with the reaction, and stop where the task wants it."""
        self._now.trouble = tick.refusal
        if tick.is_fault:
            self._link.fault("the policy's action is not finite")
        elif tick.refusal is not None and self._deactivates:
            self._link.stop(tick.refusal)
        elif tick.refusal is not None:
            self._link.warn(f"reaction: {tick.refusal}")

    def _end(self, why: str, now_s: float) -> None:
        self._machine.fire(Event.END, now_s, why)
        self._after_end(why, now_s)

    def _after_end(self, why: str, now_s: float) -> None:
        """Go on to a reset, or leave the active state."""
        if self._resets_between_episodes:
            self._ask_for_reset(now_s)
        else:
            self._link.stop(why)

    def _ask_for_reset(self, now_s: float) -> None:
        if self._resets_between_episodes:
            self._machine.fire(Event.RESET, now_s)

    def _see_to_reset(self, now_s: float) -> None:
        self._machine.now_s = now_s
        self._resets.see_to(now_s)

    def _take_ending(self) -> Ending | None:
        """Return what was called to end a step that is now lost to some trouble."""
        ending, self._now.ending = self._now.ending, None
        if ending is not None:
            self._link.warn(f"no step is recorded with the {ending.value} that was called")
        return ending

    def _note_who_commands(self, is_person: bool) -> None:
        if is_person is not self._now.is_intervened:
            self._link.info("a person commands" if is_person else "the policy commands again")
        self._now.is_intervened = is_person

    def _fault(self, problem: str, now_s: float) -> None:
        """Keep still before the first command; send the task's reaction after it."""
        ending = self._take_ending()
        if ending is not None and not self._deactivates:
            self._end(ending.value, now_s)
            return
        self._machine.fire(Event.FAULT, now_s, problem)
        if self.phase is Phase.WAITING:
            self._now.waits_for = problem
        elif self.phase is Phase.REACTING:
            self._now.trouble = problem
            if self._deactivates:
                self._link.stop(problem)

    def _fault_of_time(self, problem: str, now_s: float) -> None:
        self.num_late += 1
        # Nobody knows how long what is there now has waited for us.
        self._readings.clear()
        self._fault(problem, now_s)

    def _is_late(self, now_s: float) -> bool:
        return now_s - self._now.last_tick_s > self._max_interval_s


def _why_it_ends(tick: Tick) -> str | None:
    cut = "aborted" if tick.is_aborted else "time limit"
    return tick.termination_reason or (cut if tick.is_truncated else None)
