"""What an active policy node does when: wait, run, stop on trouble, reset, run again.

Knows no ROS: time comes in as a number, and what it decides goes out through a RobotLink.
"""

from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.nodes.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop, Tick
from sac_ros.policy.observation_pacer import ObservationPacer
from sac_ros.task.observation import ObservationError
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition

PATIENCE_S = 2.0
"""How long the first observation may take before the operator is told what is missing."""
RESET_RETRY_S = 2.0


class Phase(Enum):
    """What an active node is doing."""

    WAITING = auto()
    """For a complete, fresh observation; nothing has been commanded in this episode yet."""
    RUNNING = auto()
    STALE = auto()
    """A reading is too old or unusable: the safe command is sent until all are fresh again."""
    RESETTING = auto()
    """The episode has ended; whoever resets the robot commands it, so we are silent."""


class RobotLink(Protocol):
    """Where decisions go."""

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Send a command [A] in the task's unit."""
        ...

    def publish_transition(self, transition: Transition) -> None:
        """Send one step of experience."""
        ...

    def request_reset(self) -> bool:
        """Ask for the robot to be brought to a start pose; False if nobody listens yet."""
        ...

    def stop(self, reason: str) -> None:
        """Leave the active state, which sends the safe command."""
        ...

    def info(self, text: str) -> None:
        """Tell the operator."""
        ...

    def warn(self, text: str) -> None:
        """Tell the operator, at most once every few seconds."""
        ...


class EpisodeCycle:
    """Drives a ControlLoop through episodes, or through one run without end."""

    def __init__(
        self,
        *,
        task: TaskSpec,
        control_loop: ControlLoop,
        readings: SensorReadings,
        link: RobotLink,
        resets_between_episodes: bool,
        reset_settle_s: float,
    ) -> None:
        self._control_loop = control_loop
        self._readings = readings
        self._link = link
        self._resets_between_episodes = resets_between_episodes
        self._reset_settle_s = reset_settle_s
        self._safe_command = np.array(task.action.safe_command, dtype=np.float64)
        self._pacer = ObservationPacer(task.control_period_s)
        self._phase = Phase.WAITING
        self._phase_since_s = 0.0
        self._readings_count_from_s = 0.0
        self._reset_asked_s: float | None = None

    def start(self, now_s: float) -> None:
        """Begin: with a reset where episodes have one, else with the first observation."""
        self._begin_episode(now_s)
        if self._resets_between_episodes:
            self._enter(Phase.RESETTING, now_s)

    def receive(self, topic: str, message: object, now_s: float) -> None:
        """Store a sensor message; raise MessageError if it contradicts itself."""
        if now_s >= self._readings_count_from_s:
            self._readings.store(topic, message, now_s)

    def act_on_observation(self, stamp_s: float, now_s: float) -> None:
        """Take a control step if all readings are there and the one that came last was due."""
        if (
            self._phase is not Phase.RESETTING
            and self._readings.problem(now_s) is None
            and self._pacer.is_due(stamp_s)
        ):
            self._step(now_s)

    def act(self, now_s: float) -> None:
        """Take a control step, or see to what prevents it."""
        if self.watch(now_s):
            self._step(now_s)

    def watch(self, now_s: float) -> bool:
        """Say whether all readings are there and fresh; if not, see to the robot's safety."""
        if self._phase is Phase.RESETTING:
            self._see_to_reset(now_s)
            return False
        problem = self._readings.problem(now_s)
        if problem is not None:
            self._handle_problem(problem, now_s)
        return problem is None

    def finish_reset(self, refusal: str | None, now_s: float) -> None:
        """Start the next episode, unless the robot refused to reset."""
        if self._phase is not Phase.RESETTING:
            return
        if refusal is not None:
            self._link.warn(f"the robot refused to reset: {refusal}; asking again")
            return
        self._begin_episode(now_s)
        # A message from before the reset may still be on its way.
        self._readings_count_from_s = now_s + self._reset_settle_s

    def _step(self, now_s: float) -> None:
        try:
            tick = self._control_loop.tick(self._readings.snapshot())
        except ObservationError as error:
            self._handle_problem(str(error), now_s)
            return
        # The command first: the robot waits for it, the learner does not.
        self._link.publish_command(tick.command)
        if tick.transition is not None:
            self._link.publish_transition(tick.transition)
        if self._phase is Phase.STALE:
            self._link.info("all readings are fresh again; a new episode begins")
        if self._phase is not Phase.RUNNING:
            self._enter(Phase.RUNNING, now_s)
        self._see_to_end(tick, now_s)

    def _see_to_end(self, tick: Tick, now_s: float) -> None:
        """End the episode, or the run, where this tick says so."""
        reason = tick.termination_reason or ("time limit" if tick.is_truncated else None)
        if tick.refusal is not None:
            self._link.stop(tick.refusal)
        elif reason is not None and self._resets_between_episodes:
            self._link.info(f"episode ended: {reason}")
            self._enter(Phase.RESETTING, now_s)
        elif reason is not None:
            self._link.stop(reason)

    def _handle_problem(self, problem: str, now_s: float) -> None:
        """Keep still before the first command; stop the robot after it."""
        if self._phase is Phase.WAITING:
            if now_s - self._phase_since_s > PATIENCE_S:
                self._link.warn(f"waiting, no command sent yet: {problem}")
            return
        self._link.publish_command(self._safe_command)
        self._link.warn(f"safe command: {problem}")
        if self._phase is Phase.RUNNING:
            # What comes after the gap does not follow from what came before it.
            self._control_loop.start_episode()
            self._pacer.reset()
            self._enter(Phase.STALE, now_s)

    def _see_to_reset(self, now_s: float) -> None:
        """Ask for a reset, and again when no answer came."""
        if self._reset_asked_s is not None and now_s - self._reset_asked_s < RESET_RETRY_S:
            return
        if self._link.request_reset():
            self._reset_asked_s = now_s
        elif now_s - self._phase_since_s > PATIENCE_S:
            self._link.warn("waiting for the service that resets the robot")

    def _begin_episode(self, now_s: float) -> None:
        self._control_loop.start_episode()
        self._pacer.reset()
        self._readings.clear()
        self._readings_count_from_s = now_s
        self._enter(Phase.WAITING, now_s)

    def _enter(self, phase: Phase, now_s: float) -> None:
        self._phase = phase
        self._phase_since_s = now_s
        self._reset_asked_s = None
