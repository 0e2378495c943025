"""What an active policy node does when: wait, run, react to trouble, reset, run again.

Knows no ROS: time comes in as a number, and what it decides goes out through a RobotLink.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.control.reset_requests import ResetRequests
from sac_ros.nodes.control.robot_link import PATIENCE_S, RobotLink
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop, Tick
from sac_ros.policy.observation_pacer import ObservationPacer
from sac_ros.task.ending import Ending
from sac_ros.task.observation import ObservationError
from sac_ros.task.task_spec import TaskSpec


class Phase(Enum):
    """What an active node is doing."""

    WAITING = auto()
    """For a complete, fresh observation; nothing has been commanded in this episode yet."""
    RUNNING = auto()
    REACTING = auto()
    """Something is wrong: the task's reaction is sent until all is well again."""
    LATCHED = auto()
    """An emergency stop, or a fault of our own: the reaction is sent until somebody resets it."""
    RESETTING = auto()
    """The episode has ended; whoever resets the robot commands it, so we are silent."""


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
        self._last_tick_s = math.inf
        self.num_late = 0
        """Ticks that came, or were ready, too late."""
        self.trouble: str | None = None
        """What the task's reaction is being sent for; None while all is well."""
        self._pacer = ObservationPacer(task.control_period_s)
        self._stamps_s = np.zeros(0)
        self._ending: Ending | None = None
        self.is_intervened = False
        """Whether the command in force is a person's."""
        self._phase = Phase.WAITING
        self._phase_since_s = 0.0
        self._readings_count_from_s = 0.0

    def start(self, now_s: float) -> None:
        """Begin: with a reset where episodes have one, else with the first observation."""
        self._last_tick_s = now_s
        self.trouble = None
        self._intervention.clear()
        self._begin_episode(now_s)
        if self._resets_between_episodes:
            self._enter(Phase.RESETTING, now_s)

    def receive(self, topic: str, message: object, stamp_s: float, now_s: float) -> bool:
        """Store a sensor message; raise MessageError if it cannot be used.

        Returns whether it is one that may be acted on: others would hurry the steps.
        """
        if now_s < self._readings_count_from_s:
            return False
        return self._readings.store(topic, message, stamp_s, now_s)

    def act_on_observation(self, stamp_s: float, now_s: float) -> None:
        """Take a control step if all readings are there and the one that paces them was due."""
        if self._phase in (Phase.RESETTING, Phase.LATCHED) or self._is_late(now_s):
            return  # the next tick of the timer sees to it
        if self._readings.problem(now_s) is None and self._pacer.is_due(stamp_s):
            self._step(now_s)

    def act(self, now_s: float) -> None:
        """Take a control step, or see to what prevents it."""
        if self.watch(now_s):
            self._step(now_s)

    def watch(self, now_s: float) -> bool:
        """Say whether a step may be taken; if not, see to the robot's safety.

        To be called once a control period.
        """
        late_s = now_s - self._last_tick_s
        is_late = self._is_late(now_s)
        self._last_tick_s = now_s
        if self._phase is Phase.RESETTING:
            self._resets.see_to(now_s)
            return False
        if self._phase is Phase.LATCHED:
            self._react(now_s)
            return False
        if is_late:
            self._see_to_lateness(f"no control step for {late_s:.3f} s", now_s)
            return False
        problem = self._readings.problem(now_s)
        if problem is not None:
            self._handle_problem(problem, now_s)
        return problem is None

    def watch_clock(self, now_s: float) -> None:
        """See to the robot's safety while a simulated clock stands still, and no tick comes.

        To be called once a control period of real time.
        """
        silent_s = now_s - self._last_tick_s
        if silent_s > self._clock_patience_s and self._phase is Phase.LATCHED:
            self._react(now_s)
        elif silent_s > self._clock_patience_s and self.is_commanding:
            self._handle_problem(f"no tick for {silent_s:.3f} s: does /clock run?", now_s)

    def latch(self, reason: str, now_s: float) -> None:
        """React to the worst, at once and until `release`."""
        self.trouble = reason
        self._take_ending()
        if self._deactivates:
            self._link.stop(reason)
            return
        if self._phase is not Phase.LATCHED:
            self._enter(Phase.LATCHED, now_s)
        self._react(now_s)

    def release(self, now_s: float) -> None:
        """Begin anew after `latch`, as after an activation."""
        if self._phase is Phase.LATCHED:
            self.start(now_s)
            self._control_loop.interrupt()  # we have commanded it all the time

    def end_episode(self, ending: Ending, now_s: float) -> str | None:
        """End the episode with the step that is under way; return why not, or None.

        `ABORT` also ends what has been given up already because of a fault.
        """
        if self._phase is Phase.RUNNING:
            # Whoever wants it aborted may know better than whoever saw a success.
            self._ending = Ending.ABORT if self._ending is Ending.ABORT else ending
            return None
        if self._phase is Phase.REACTING and ending is Ending.ABORT:
            self._break_off(ending, now_s)
            return None
        return f"no episode runs: the node is {self._phase.name.lower()}"

    @property
    def phase(self) -> Phase:
        """What the node is doing."""
        return self._phase

    @property
    def is_commanding(self) -> bool:
        """Say whether commands are expected at every control period."""
        return self._phase not in (Phase.WAITING, Phase.RESETTING)

    def final_command(self) -> NDArray[np.float64]:
        """Return the command [A] to leave the robot with."""
        return self._control_loop.safety_filter.stop()

    def finish_reset(self, number: int, refusal: str | None, now_s: float) -> None:
        """Start the next episode, unless the robot refused to reset, or that reset is outdated."""
        if self._phase is not Phase.RESETTING:
            return
        if not self._resets.take_answer(number, refusal, now_s):
            return
        self._begin_episode(now_s)
        # A message from before the reset may still be on its way.
        self._readings_count_from_s = now_s + self._reset_settle_s

    def _step(self, now_s: float) -> None:
        intervention = self._intervention.command(now_s)
        try:
            tick = self._control_loop.tick(self._readings.snapshot(), intervention, self._ending)
        except ObservationError as error:
            self._handle_problem(str(error), now_s)
            return
        took_s = self._clock() - now_s
        if took_s > self._max_interval_s:
            self._control_loop.safety_filter.take_back()
            self._see_to_lateness(f"a control step took {took_s:.3f} s", now_s)
            return
        self._ending = None
        # The command first: the robot waits for it, the learner does not.
        self._link.publish_command(tick.command)
        self._note_who_commands(intervention is not None)
        stamps_s = self._readings.stamps_s()
        if tick.transition is not None:
            self._link.publish_transition(
                replace(
                    tick.transition,
                    obs_stamps_s=self._stamps_s,
                    next_obs_stamps_s=stamps_s,
                )
            )
        self._stamps_s = stamps_s
        if self._phase is Phase.REACTING:
            self._link.info("all is well again; a new episode begins")
        if self._phase is not Phase.RUNNING:
            self._enter(Phase.RUNNING, now_s)
            self._readings.expect_motion(now_s)
        self._see_to_end(tick, now_s)

    def _see_to_end(self, tick: Tick, now_s: float) -> None:
        """End the episode, or the run, where this tick says so."""
        cut = "aborted" if tick.is_aborted else "time limit"
        reason = tick.termination_reason or (cut if tick.is_truncated else None)
        self.trouble = tick.refusal
        if tick.is_fault:
            self._link.fault("the policy's action is not finite")
        elif tick.refusal is not None and self._deactivates:
            self._link.stop(tick.refusal)
        elif tick.refusal is not None:
            self._link.warn(f"reaction: {tick.refusal}")
        elif reason is not None:
            self._finish(reason, now_s)

    def _finish(self, reason: str, now_s: float) -> None:
        """Go on to a reset, or leave the active state."""
        if self._resets_between_episodes:
            self.trouble = None
            self._link.info(f"episode ended: {reason}")
            self._enter(Phase.RESETTING, now_s)
        else:
            self._link.stop(reason)

    def _break_off(self, ending: Ending, now_s: float) -> None:
        """End an episode of which the last step is lost."""
        if self._resets_between_episodes:
            self._link.publish_command(self.final_command())
        self._finish(ending.value, now_s)

    def _take_ending(self) -> Ending | None:
        """Return what was called to end a step that is now lost to some trouble."""
        ending, self._ending = self._ending, None
        if ending is not None:
            self._link.warn(f"no step is recorded with the {ending.value} that was called")
        return ending

    def _note_who_commands(self, is_person: bool) -> None:
        if is_person is not self.is_intervened:
            self._link.info("a person commands" if is_person else "the policy commands again")
        self.is_intervened = is_person

    def _handle_problem(self, problem: str, now_s: float) -> None:
        """Keep still before the first command; send the task's reaction after it."""
        if self._phase is Phase.WAITING:
            if now_s - self._phase_since_s > PATIENCE_S:
                self._link.warn(f"waiting, no command sent yet: {problem}")
            return
        self.trouble = problem
        ending = self._take_ending()
        if self._deactivates:
            self._link.stop(problem)
            return
        if ending is not None:
            self._break_off(ending, now_s)
            return
        self._react(now_s)
        self._link.warn(f"reaction: {problem}")
        if self._phase is Phase.RUNNING:
            self._pacer.reset()
            self._enter(Phase.REACTING, now_s)

    def _see_to_lateness(self, problem: str, now_s: float) -> None:
        self.num_late += 1
        # Nobody knows how long what is there now has waited for us.
        self._readings.clear()
        self._handle_problem(problem, now_s)

    def _is_late(self, now_s: float) -> bool:
        return now_s - self._last_tick_s > self._max_interval_s

    def _react(self, now_s: float) -> None:
        is_trusted = self._readings.problem(now_s) is None
        readings = self._readings.snapshot() if is_trusted else None
        self._link.publish_command(self._control_loop.react(readings))

    def _begin_episode(self, now_s: float) -> None:
        self._control_loop.start_episode()
        self._pacer.reset()
        self._readings.clear()
        self._readings_count_from_s = now_s
        self._enter(Phase.WAITING, now_s)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self._phase = phase
        self._phase_since_s = now_s
        self.is_intervened &= phase is Phase.RUNNING
        if phase is Phase.RESETTING:
            self._resets.begin(now_s)
