"""An EpisodeCycle without ROS and in a time of the test's own; what it decides is remembered."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from sac_ros.nodes.control.episode_cycle import EpisodeCycle
from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.messages.sensor_readings import MessageError, SensorReadings
from sac_ros.policy.control_loop import ControlLoop, SelectAction
from sac_ros.task.task_spec import TaskSpec, load_task
from sac_ros.task.transition import Transition

PENDULUM = load_task("inverted_pendulum")
PERIOD_S = PENDULUM.control_period_s
FULL_N = 300.0
INTERVENTION_TIMEOUT_S = 0.17


class RecordingLink:
    """A RobotLink that remembers."""

    def __init__(self) -> None:
        self.commands: list[np.ndarray] = []
        self.transitions: list[Transition] = []
        self.stops: list[str] = []
        self.faults: list[str] = []
        self.texts: list[str] = []
        self.resets: list[int] = []
        self.is_reset_there = True

    def publish_command(self, command: np.ndarray) -> None:
        self.commands.append(command)

    def publish_transition(self, transition: Transition) -> None:
        self.transitions.append(transition)

    def request_reset(self, number: int) -> str | None:
        if not self.is_reset_there:
            return "a reset service"
        self.resets.append(number)
        return None

    def can_reset(self) -> bool:
        return self.is_reset_there

    def stop(self, reason: str) -> None:
        self.stops.append(reason)

    def fault(self, reason: str) -> None:
        self.faults.append(reason)

    def info(self, text: str) -> None:
        self.texts.append(text)

    def warn(self, text: str) -> None:
        self.texts.append(text)


class Rig:
    """A cycle ticked once a control period, and fed once before each tick."""

    def __init__(
        self,
        task: TaskSpec,
        select_action: SelectAction,
        *,
        max_late_s: float = np.inf,
        veto: Callable[..., str | None] | None = None,
        fade_in_s: float = 0.0,
        max_episode_steps: int | None = None,
        reset_timeout_s: float = np.inf,
    ) -> None:
        """With `max_episode_steps`, it runs in episodes with a reset between them."""
        self.task = task
        self.now_s = 10.0
        self.link = RecordingLink()
        self.readings = SensorReadings(task)
        self.intervention = Intervention(INTERVENTION_TIMEOUT_S)
        self.loop = ControlLoop(
            task, select_action, max_episode_steps, fade_in_s=fade_in_s, veto=veto
        )
        self.cycle = EpisodeCycle(
            task=task,
            control_loop=self.loop,
            readings=self.readings,
            intervention=self.intervention,
            link=self.link,
            resets_between_episodes=max_episode_steps is not None,
            reset_settle_s=0.0,
            reset_timeout_s=reset_timeout_s,
            max_late_s=max_late_s,
            clock=lambda: self.now_s,
        )
        self.cycle.start(self.now_s)
        if max_episode_steps is not None:
            self.cycle.act(self.now_s)
            self.finish_reset()

    def finish_reset(self, refusal: str | None = None) -> None:
        """Answer the last request for a reset."""
        self.cycle.finish_reset(self.link.resets[-1], refusal, self.now_s)

    def send(self, value: float = 0.0, stamp_s: float | None = None) -> None:
        """Deliver a JointState with the same value everywhere."""
        names = list(dict.fromkeys(j for reading in self.task.readings for j in reading.joints))
        values = [value] * len(names)
        state = SimpleNamespace(name=names, position=values, velocity=values, effort=values)
        self.sent_s = self.now_s if stamp_s is None else stamp_s
        try:
            self.cycle.receive("joint_states", state, self.sent_s, self.now_s)
        except MessageError as error:
            self.link.warn(str(error))

    def tick(self, num: int = 1, *, feed: bool = True, value: float = 0.0) -> np.ndarray:
        """Let control periods pass, with or without a message in each; return the last command."""
        for _ in range(num):
            self.now_s += self.task.control_period_s
            if feed:
                self.send(value)
            self.cycle.act(self.now_s)
        return self.link.commands[-1]

    def tick_without_command(self) -> None:
        """Let a control period pass without a message, and whatever comes of it."""
        self.now_s += self.task.control_period_s
        self.cycle.act(self.now_s)


def full_force(obs: np.ndarray) -> np.ndarray:
    return np.array([1.0])


def running(task: TaskSpec = PENDULUM, **settings: object) -> Rig:
    """A rig that has been commanding full force for a while."""
    rig = Rig(task, full_force, **settings)  # type: ignore[arg-type]
    rig.tick(40)
    assert rig.link.commands[-1] == FULL_N
    return rig
