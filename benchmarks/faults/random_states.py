"""Cycle and filter through random sequences of all events, judged by the task file alone.

Robots by position, velocity and effort; people who press, release, abort and take over; sensors
that die, freeze and lie; others who move the robot while the node is silent.

    python -m benchmarks.faults.random_states --steps 1000000
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.state_judge import StateJudge
from sac_ros.errors import InputError
from sac_ros.nodes.control.episode_cycle import EpisodeCycle
from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.messages.sensor_readings import MessageError, SensorReadings
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.task.action_spec import Quantity
from sac_ros.task.ending import Ending
from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec, load_task
from sac_ros.task.transition import Transition
from sim_training.terminal.options import parse_options

JOINTS: Final = ("shoulder", "elbow")
REACTIONS: Final[dict[Quantity, tuple[str, ...]]] = {
    "position": ("hold", "ramp", "safe_command", "deactivate"),
    "velocity": ("safe_command", "ramp", "deactivate"),
    "effort": ("safe_command", "ramp", "damp", "deactivate"),
}
SENSORS: Final = ("good", "dead", "no velocities", "NaN", "garbage", "sent twice", "half")


def make_task(kind: Quantity, on_fault: str) -> TaskSpec:
    """Return an arm of two joints that is commanded this way."""
    arm = load_task("two_joint_arm")
    limits = tuple(
        JointLimit(joint=joint, position=(-2.0, 2.0), velocity=8.0, effort=4.0) for joint in JOINTS
    )
    action = replace(
        arm.action,
        kind=kind,
        on_fault=on_fault,  # type: ignore[arg-type]  # one of REACTIONS
        damping=(0.5, 0.5) if on_fault == "damp" else None,
        joint_limits=limits,
        ramp_s=1.0,
    )
    return replace(arm, action=action, reward=(), max_episode_steps=60)


class RandomWorld:
    """One arm, one node without ROS, and everybody who may disturb them."""

    def __init__(
        self,
        task: TaskSpec,
        rng: np.random.Generator,
        *,
        in_episodes: bool,
        fade_in_s: float = 0.0,
    ) -> None:
        self._task = task
        self._rng = rng
        self.judge = StateJudge(task)
        self._now_s = 10.0
        self._sent_s = 0.0
        self._position = np.zeros(2)
        self._velocity = np.zeros(2)
        self._command: NDArray[np.float64] | None = None
        self._sensor = "good"
        self._is_vetoed = False
        self._is_mad = False
        self._resets: list[int] = []
        self._can_reset = True
        readings = SensorReadings(task)
        self._intervention = Intervention(0.1)
        self._readings = readings
        loop = ControlLoop(
            task,
            self._act,
            task.max_episode_steps if in_episodes else None,
            fade_in_s=fade_in_s,
            veto=self._veto,
        )
        self.cycle = EpisodeCycle(
            task=task,
            control_loop=loop,
            readings=readings,
            intervention=self._intervention,
            link=self,
            resets_between_episodes=in_episodes,
            reset_settle_s=0.0,
            max_late_s=2.0 * task.control_period_s,
            clock=lambda: self._now_s,
        )

    # What can happen.

    def step(self) -> None:
        """Let a control period pass."""
        self._advance(1)
        self._judged(lambda: self.cycle.act(self._now_s), is_tick=True)

    def come_late(self) -> None:
        """Let several pass without a tick."""
        self._advance(int(self._rng.integers(4, 10)))
        # Nobody knows how long what has arrived has waited for the node.
        self.judge.forget_measurements()
        self._judged(lambda: self.cycle.act(self._now_s), is_tick=True)

    def press(self) -> None:
        """Press the emergency stop."""
        self._judged(lambda: self.cycle.latch("pressed", self._now_s))

    def release(self) -> None:
        """Reset the emergency stop."""
        self._judged(lambda: self.cycle.release(self._now_s))

    def end_episode(self) -> None:
        """Call a success or an abort."""
        ending = Ending.ABORT if self._rng.random() < 0.7 else Ending.SUCCESS
        self._judged(lambda: self.cycle.end_episode(ending, self._now_s))

    def take_over(self) -> None:
        """Let a person ask for anything, for some periods."""
        asked = self._rng.uniform(-10.0, 10.0, 2)
        for _ in range(int(self._rng.integers(1, 4))):
            self._intervention.store(asked, self._now_s, self._now_s)
            self.step()

    def change_sensor(self) -> None:
        """Break the sensor, or mend it."""
        is_good = self._rng.random() < 0.5
        self._sensor = "good" if is_good else SENSORS[int(self._rng.integers(len(SENSORS)))]

    def change_policy(self) -> None:
        """Let the policy ask for nonsense, or no longer; likewise the veto."""
        self._is_mad = not self._is_mad and self._rng.random() < 0.2
        self._is_vetoed = not self._is_vetoed and self._rng.random() < 0.5

    def deactivate(self) -> None:
        """Leave the active state, as by a transition or a signal."""
        self._judged(lambda: self.cycle.deactivate(self._now_s))

    def activate(self) -> None:
        """Enter it, if it is not active."""
        if self.judge.is_inactive(self.cycle.phase):
            self._judged(lambda: self.cycle.start(self._now_s))

    def answer_reset(self) -> None:
        """Bring the robot to a start pose, or refuse to."""
        if not self._resets:
            return
        refusal = "no" if self._rng.random() < 0.2 else None
        if refusal is None and not self.cycle.is_commanding:
            self.move_robot()
        number = self._resets[-1]
        self._judged(lambda: self.cycle.finish_reset(number, refusal, self._now_s))

    def lose_reset(self) -> None:
        """Let the reset service come and go."""
        self._can_reset = not self._can_reset

    def move_robot(self) -> None:
        """Let others move the robot, while the node does not command it."""
        if not self.cycle.is_commanding:
            self._command = None
            self._position = self._rng.uniform(-2.05, 2.05, 2)
            self._velocity = np.zeros(2)

    # The RobotLink.

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Judge the command, then let the robot take it."""
        self.judge.see(command)
        self._command = np.nan_to_num(command)

    def publish_transition(self, transition: Transition) -> None:
        """Check that nothing is learned from nonsense."""
        self.judge.expect(bool(np.isfinite(transition.next_obs).all()), "obs that is not finite")

    def request_reset(self, number: int) -> str | None:
        """Remember the request."""
        if not self._can_reset:
            return "a reset service"
        self._resets.append(number)
        return None

    def can_reset(self) -> bool:
        """Say whether somebody resets the robot."""
        return self._can_reset

    def stop(self, reason: str) -> None:
        """Leave the active state, as the node does."""
        self.cycle.deactivate(self._now_s)

    def fault(self, reason: str) -> None:
        """Latch, as the node does."""
        self.cycle.latch(reason, self._now_s)

    def info(self, text: str) -> None:
        """Take no notice."""

    def warn(self, text: str) -> None:
        """Take no notice."""

    # How the world goes on.

    def _judged(self, event: Callable[[], object], *, is_tick: bool = False) -> None:
        before = self.cycle.phase
        self.judge.begin(self._now_s)
        event()
        self.judge.end(before, self.cycle.phase, is_tick=is_tick)

    def _advance(self, num_periods: int) -> None:
        period_s = self._task.control_period_s
        for _ in range(num_periods):
            self._now_s += period_s
            self._move(period_s)
            self._send()

    def _move(self, period_s: float) -> None:
        before = self._position
        if self._command is not None and self._task.action.kind == "position":
            lag = self._rng.uniform(0.3, 1.0)
            self._position = before + lag * (self._command - before)
        elif self._command is not None:
            self._velocity = self._velocity * 0.8 + 0.2 * self._command
            if self._task.action.kind == "velocity":
                self._velocity = self._command
            self._position = before + period_s * self._velocity
        # Against a stop of its own.
        self._position = np.clip(self._position, -2.3, 2.3)
        self._velocity = (self._position - before) / period_s

    def _send(self) -> None:
        if self._sensor == "dead":
            return
        position, velocity = self._position.tolist(), self._velocity.tolist()
        if self._sensor == "no velocities":
            velocity = []
        elif self._sensor in ("NaN", "garbage"):
            bad = np.nan if self._sensor == "NaN" else -1e32
            which = int(self._rng.integers(2))
            (position if self._rng.random() < 0.3 else velocity)[which] = bad
        names = JOINTS[:1] if self._sensor == "half" else JOINTS
        num = len(names)
        message = SimpleNamespace(
            name=list(names), position=position[:num], velocity=velocity[:num]
        )
        if self._sensor != "sent twice":
            self._sent_s = self._now_s
        try:
            self.cycle.receive("joint_states", message, self._sent_s, self._now_s)
        except MessageError:
            return
        self.judge.hear(names, message.position, self._now_s)

    def _act(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._is_mad:
            return np.array([np.nan, 0.0])
        return self._rng.uniform(-1.0, 1.0, 2)

    def _veto(self, command: NDArray[np.float64], readings: Readings) -> str | None:
        return "no" if self._is_vetoed else None


EVENTS: Final[tuple[tuple[str, float], ...]] = (
    ("step", 0.70),
    ("come_late", 0.01),
    ("press", 0.015),
    ("release", 0.03),
    ("end_episode", 0.02),
    ("take_over", 0.02),
    ("change_sensor", 0.04),
    ("change_policy", 0.01),
    ("deactivate", 0.015),
    ("activate", 0.05),
    ("answer_reset", 0.06),
    ("lose_reset", 0.01),
    ("move_robot", 0.02),
)
"""Name of the method, and how often it happens."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person types."""

    steps: int = 1_000_000
    """Events in all, over all kinds of robots."""
    seed: int = 0
    out: Path = Path("runs/random_states")
    """Folder for summary.json."""

    def __post_init__(self) -> None:
        """Refuse what is no number of steps."""
        if self.steps < 1:
            raise ValueError(f"steps must be positive, got {self.steps}")


@dataclass
class Result:
    """What was found on one kind of robot."""

    robot: str
    num_events: int = 0
    num_commands: int = 0
    violations: Counter[str] = field(default_factory=Counter)


def run(task: TaskSpec, name: str, num_events: int, seed: int) -> Result:
    """Drive worlds of this robot, a new one every few thousand events."""
    result = Result(name)
    names = [event for event, _ in EVENTS]
    weights = np.array([weight for _, weight in EVENTS])
    while result.num_events < num_events:
        rng = np.random.default_rng((seed, result.num_events))
        world = RandomWorld(
            task,
            rng,
            in_episodes=bool(rng.random() < 0.5),
            fade_in_s=float(rng.choice([0.0, 0.1])),
        )
        world.activate()
        for choice in rng.choice(len(names), 5000, p=weights / weights.sum()):
            getattr(world, names[choice])()
        result.num_events += 5000
        result.num_commands += world.judge.num_commands
        result.violations.update(world.judge.violations)
    return result


def main() -> int:
    """Run the campaign; return 1 if anything was unsafe."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="random_states.py",
            description="Drive cycle and filter through random sequences of all events.",
        )
    except InputError as error:
        print(f"random_states.py: {error}", file=sys.stderr)
        return 2
    robots = [(kind, on_fault) for kind, faults in REACTIONS.items() for on_fault in faults]
    results = [
        run(
            make_task(kind, on_fault),
            f"{kind}, {on_fault}",
            options.steps // len(robots),
            options.seed,
        )
        for kind, on_fault in robots
    ]
    for result in results:
        found = dict(result.violations) or "no violation"
        print(
            f"{result.robot}: {result.num_events} events, {result.num_commands} commands, {found}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    summary = {
        "events": sum(result.num_events for result in results),
        "commands": sum(result.num_commands for result in results),
        "violations": sum(sum(result.violations.values()) for result in results),
        "robots": {result.robot: dict(result.violations) for result in results},
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2))
    return int(any(result.violations for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
