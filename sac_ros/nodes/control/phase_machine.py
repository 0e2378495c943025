"""Executes the table of control_phases: every command of a policy node goes out from here."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sac_ros.nodes.control.control_phases import TABLE, Event, Phase, Sends
from sac_ros.nodes.control.robot_link import PATIENCE_S, RobotLink
from sac_ros.nodes.messages.sensor_readings import SensorReadings
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.task.task_spec import TaskSpec


class PhaseMachine:
    """Knows the phase; an event sends what its row says, then enters the row's next phase."""

    def __init__(
        self,
        task: TaskSpec,
        control_loop: ControlLoop,
        readings: SensorReadings,
        link: RobotLink,
        on_enter: Callable[[Phase, float], None],
    ) -> None:
        """`on_enter` is called with every new phase and the time."""
        self._max_age_s = {reading.name: reading.max_age_s for reading in task.readings}
        self._control_loop = control_loop
        self._readings = readings
        self._link = link
        self._on_enter = on_enter
        self._since_s = 0.0
        self._kept: dict[str, tuple[NDArray[np.float64], float]] = {}
        """Readings [size] that count for no new step, and until when they can be trusted."""
        self.phase = Phase.INACTIVE
        self.now_s = 0.0
        """The newest time that the machine was told."""

    def fire(
        self,
        event: Event,
        now_s: float,
        why: str = "",
        command: NDArray[np.float64] | None = None,
    ) -> None:
        """Do what the table says; `command` [A] is what a control step has decided already."""
        self.now_s = now_s
        phase, row = self.phase, TABLE[self.phase][event]
        if row.sends is Sends.ACTION and command is not None:
            self._link.publish_command(command)
        elif row.sends is Sends.REACTION:
            command = self._control_loop.react(self._trusted(now_s))
            self._publish(command, row.sends)
        elif row.sends is Sends.LAST_COMMAND:
            self._publish(self.final_command() if command is None else command, row.sends)
            # Others may move the robot from now on, and what comes next is a new episode.
            self._control_loop.start_episode()
        if row.next is not phase:
            self._enter(row.next, now_s)
        if row.says:
            self._say(row.says.format(why=why), phase, event)

    def forget_readings(self, now_s: float) -> None:
        """Let only new readings count for a control step.

        The robot is still where it was measured a moment ago: exits and reactions may use that.
        """
        ages_s, kept = self._readings.ages_s(now_s), self._kept
        self._kept = {
            name: (values, now_s + self._max_age_s[name] - ages_s[name])
            if ages_s[name] <= self._max_age_s[name]
            else kept[name]
            for name, values in self._trusted(now_s).items()
        }
        self._readings.clear()

    def may_act(self) -> bool:
        """Say whether a control step with trusted readings may command."""
        return TABLE[self.phase][Event.READY].sends is Sends.ACTION

    def final_command(self) -> NDArray[np.float64] | None:
        """Return the command [A] to leave the robot with; None where none can be given."""
        return self._control_loop.safety_filter.stop(self._trusted(self.now_s))

    def _trusted(self, now_s: float) -> dict[str, NDArray[np.float64]]:
        trusted = self._readings.trusted(now_s)
        if self._kept:
            ages_s = self._readings.ages_s(now_s)
            for name, (values, until_s) in self._kept.items():
                # Whatever has arrived since is newer, if only to say that it cannot be trusted.
                if now_s <= until_s and ages_s[name] == np.inf:
                    trusted[name] = values
        return trusted

    def _publish(self, command: NDArray[np.float64] | None, what: Sends) -> None:
        """Send a command [A], or say why there is none."""
        if command is not None:
            self._link.publish_command(command)
            return
        trusted = self._trusted(self.now_s)
        why = self._control_loop.safety_filter.why_silent(trusted)
        self._link.warn(f"no {what.value} sent, so the robot keeps the one it has: {why}")

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s
        self._on_enter(phase, now_s)

    def _say(self, text: str, phase: Phase, event: Event) -> None:
        """Tell the operator; of a wait only once it lasts."""
        if phase is Phase.WAITING and event is Event.FAULT:
            if self.now_s - self._since_s > PATIENCE_S:
                self._link.warn(text)
        elif event is Event.FAULT or phase is Phase.WAITING:
            self._link.warn(text)
        else:
            self._link.info(text)
