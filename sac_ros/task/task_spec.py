"""The task file: one description, read by simulator, robot and learner.

Letters for shapes in this package: B batch, O obs_dim, A action_dim, N critics.
"""

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sac_ros.task.action_spec import ActionSpec
from sac_ros.task.message_fields import FIELD_SIZES, ReadableType
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, read_mapping


class TaskError(ConfigError):
    """The task is unknown, or its file contradicts itself."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A named vector of numbers that the robot measures: one field of one topic."""

    name: str
    topic: str
    """Relative, so that namespaces and remappings work."""
    type: ReadableType
    field: str
    """Path in the message, such as `position` or `twist.twist.linear`."""
    joints: tuple[str, ...] = ()
    """For a JointState: which joints, in which order."""
    size: int = 0
    """Entries, for a field whose length neither its type nor `joints` tells."""
    unit: str
    max_age_s: float = 0.1
    """Older than this since its arrival, the reading is stale and the task's reaction is sent."""
    max_frozen_s: float | None = None
    """Unchanged in every bit for longer than this while commands are sent, the sensor counts as
    stuck. None for sensors that may truly stand still."""

    def __post_init__(self) -> None:
        """Refuse a topic, field or size that no message can supply."""
        fields = FIELD_SIZES[self.type]
        if self.topic.startswith("/"):
            raise ValueError(f"topic {self.topic!r} of {self.name!r} is absolute; drop the '/'")
        if self.field not in fields:
            raise ValueError(
                f"{self.name!r} reads {self.field!r} of {self.type}, expected one of {list(fields)}"
            )
        if not self.max_age_s > 0.0:
            raise ValueError(f"max_age_s of {self.name!r} must be positive, got {self.max_age_s}")
        if self.max_frozen_s is not None and not self.max_frozen_s > 0.0:
            raise ValueError(
                f"max_frozen_s of {self.name!r} must be positive, got {self.max_frozen_s}"
            )
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"{self.name!r} names a joint twice: {list(self.joints)}")
        if self.is_of_joints != bool(self.joints):
            found = list(self.joints) or "none"
            raise ValueError(
                f"{self.name!r} names the joints {found}; a JointState needs them, and nothing else"
                f" has them: it is a {self.type}"
            )
        known = fields[self.field] or len(self.joints) or self.size
        if not known:
            raise ValueError(f"{self.name!r} needs `size`: how many numbers the array has")
        object.__setattr__(self, "size", known)

    @property
    def is_of_joints(self) -> bool:
        """Whether this is read of joints, by their names."""
        return self.type == "sensor_msgs/msg/JointState"


@dataclass(frozen=True, kw_only=True)
class Channel(Reading):
    """A reading that the policy sees: clipped, divided by its scale, with its recent past."""

    clip: tuple[float, float] | None = None
    """Bounds in the reading's unit, applied before scaling."""
    scale: float = 1.0
    """Divisor in the reading's unit."""
    history: int = 1
    """How many control steps are seen, oldest first."""

    def __post_init__(self) -> None:
        """Refuse bounds, scales and histories that make no observation."""
        super().__post_init__()
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip of {self.name!r} must be [low, high], got {list(self.clip)}")
        if not (math.isfinite(self.scale) and self.scale > 0.0):
            raise ValueError(f"scale of {self.name!r} must be positive, got {self.scale}")
        if self.history < 1:
            raise ValueError(f"history of {self.name!r} must be at least 1, got {self.history}")


@dataclass(frozen=True, kw_only=True)
class RewardTerm:
    """One weighted summand of the reward; sac_ros/task/reward.py defines each term."""

    term: Literal[
        "alive", "forward_velocity", "action_squared", "action_rate_squared", "error_squared"
    ]
    weight: float
    reading: str | None = None
    """For `forward_velocity` and `error_squared`."""
    target: tuple[float, ...] | None = None
    """For `error_squared`: entry by entry; None means zeros."""

    def __post_init__(self) -> None:
        """Refuse a term that would earn no number, or that leaves out what was written for it."""
        numbers = (self.weight, *(self.target or ()))
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError(f"weight and target must be finite, got {list(numbers)}")
        if self.reading is not None and not self.needs_reading:
            raise ValueError(f"reward {self.term} reads nothing; drop reading {self.reading!r}")
        if self.target is not None and self.term != "error_squared":
            raise ValueError(f"reward {self.term} has no target; drop {list(self.target)}")

    @property
    def needs_reading(self) -> bool:
        """Whether the term is of a reading."""
        return self.term in ("forward_velocity", "error_squared")


@dataclass(frozen=True, kw_only=True)
class TerminationTerm:
    """The episode ends as soon as any entry of the reading leaves the open range (low, high)."""

    reading: str
    low: float | None = None
    high: float | None = None
    why: str
    """What an operator is told, such as `fell over`."""

    def __post_init__(self) -> None:
        """Refuse a range that nothing leaves, or that nothing lies in."""
        if self.low is None and self.high is None:
            raise ValueError(f"termination by {self.reading!r} needs low, high or both")
        low, high = self.bounds
        if not low < high:
            raise ValueError(
                f"termination by {self.reading!r} must have low < high, got {low} and {high}"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """The open range, infinite where it has no end."""
        return (
            -math.inf if self.low is None else self.low,
            math.inf if self.high is None else self.high,
        )


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """Where training happens: an unmodified Gymnasium environment, or a MuJoCo model."""

    gymnasium_id: str | None = None
    mjcf: str | None = None
    """Model file, relative to the task file."""
    keyframe: str | None = None
    """Start pose in the model; None means the model's own qpos0."""
    reset_position_noise: float = 0.0
    """Half-width of the uniform noise on every position at reset, in rad or m."""
    reset_velocity_noise: float = 0.0
    """Half-width of the uniform noise on every velocity at reset, in rad/s or m/s."""

    def __post_init__(self) -> None:
        """Refuse none or both of the two ways to simulate, and noise without a width."""
        if (self.gymnasium_id is None) == (self.mjcf is None):
            raise ValueError("give exactly one of gymnasium_id and mjcf")
        for name in ("reset_position_noise", "reset_velocity_noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be at least 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """Everything simulator, robot and learner must agree on about one task."""

    name: str
    simulator: Simulator
    control_period_s: float
    max_episode_steps: int
    """Time limit: the episode is cut short (truncated), not ended."""
    success_return: float | None = None
    """An episode is a success if its return reaches this."""
    observation: tuple[Channel, ...]
    reward_readings: tuple[Reading, ...] = ()
    """Read for reward and termination only; the policy does not see them."""
    action: ActionSpec
    reward: tuple[RewardTerm, ...] = ()
    termination: tuple[TerminationTerm, ...] = ()

    def __post_init__(self) -> None:
        """Refuse duplicate names and terms that refer to readings nobody supplies."""
        if not (math.isfinite(self.control_period_s) and self.control_period_s > 0.0):
            raise ValueError(f"control_period_s must be positive, got {self.control_period_s}")
        if self.max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {self.max_episode_steps}")
        if not self.observation:
            raise ValueError("observation has no channels")
        sizes = {reading.name: reading.size for reading in self.readings}
        names = [reading.name for reading in self.readings]
        if len(sizes) != len(names):
            raise ValueError(f"two readings share a name: {names}")
        for term in self.reward:
            if not term.needs_reading:
                continue
            if term.reading not in sizes:
                raise ValueError(
                    f"reward {term.term} refers to reading {term.reading!r}; there are {names}"
                )
            if term.target is not None and len(term.target) != sizes[term.reading]:
                raise ValueError(
                    f"target {list(term.target)} has {len(term.target)} entries for the"
                    f" {sizes[term.reading]} of {term.reading!r}"
                )
        for end in self.termination:
            if end.reading not in names:
                raise ValueError(
                    f"termination refers to reading {end.reading!r}; there are {names}"
                )

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Everything that is read from the robot: observation channels, then reward readings."""
        return (*self.observation, *self.reward_readings)

    @property
    def pace(self) -> Reading:
        """The reading whose arrivals pace the steps of a robot that acts on what it observes.

        One of joints, if there is any. One only: sensors have clocks of their own, and the times
        of two, mixed, would seem to leap to and fro.
        """
        return next((r for r in self.readings if r.is_of_joints), self.readings[0])

    @property
    def obs_dim(self) -> int:
        """O: the length of the observation, histories included."""
        return sum(channel.size * channel.history for channel in self.observation)

    @property
    def action_dim(self) -> int:
        """A: the number of commanded entries."""
        return len(self.action.joints)

    @property
    def fingerprint(self) -> str:
        """Hash of all that a policy depends on: two robots that share it can share a policy.

        Topics may be remapped, and reward, termination and safe command belong to the robot's
        owner; none of them is part of it.
        """
        depends_on = {
            "control_period_s": self.control_period_s,
            "observation": [
                [c.type, c.field, c.joints, c.size, c.unit, c.clip, c.scale, c.history]
                for c in self.observation
            ],
            "action": [
                self.action.kind,
                self.action.joints,
                self.action.unit,
                self.action.low,
                self.action.high,
                self.action.rate_limit,
                self.action.low_pass_hz,
                # Only where there are any: without, a policy depends on what it always did.
                *([] if self.action.choices is None else [self.action.choices]),
            ],
        }
        return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


def load_task(name_or_path: str) -> TaskSpec:
    """Return the task of that name in config/tasks, or of that .yaml file."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        folder = package_share() / "config" / "tasks"
        path = folder / f"{name_or_path}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.yaml"))
            raise TaskError(f"unknown task {name_or_path!r}; known tasks: {known}, or a .yaml file")
    task = parse_mapping(read_mapping(path), TaskSpec, str(path))
    return _with_absolute_model(task, path.resolve().parent)


def _with_absolute_model(task: TaskSpec, folder: Path) -> TaskSpec:
    """Resolve the model's path while the task file's own folder is still known."""
    if task.simulator.mjcf is None:
        return task
    model = (folder / task.simulator.mjcf).resolve()
    return replace(task, simulator=replace(task.simulator, mjcf=str(model)))


def generic_task(
    *,
    gymnasium_id: str,
    obs_dim: int,
    action_low: tuple[float, ...],
    action_high: tuple[float, ...],
    control_period_s: float,
    max_steps: int,
    choices: tuple[tuple[float, ...], ...] | None = None,
) -> TaskSpec:
    """Describe a Gymnasium environment nobody wrote a task file for.

    The observation is one Float64MultiArray [O], the command another [A]; the safe command is the
    entry of [low, high] nearest to zero.
    """
    return TaskSpec(
        name=gymnasium_id,
        simulator=Simulator(gymnasium_id=gymnasium_id),
        control_period_s=control_period_s,
        max_episode_steps=max_steps,
        observation=(
            Channel(
                name="observation",
                topic="observation",
                type="std_msgs/msg/Float64MultiArray",
                field="data",
                size=obs_dim,
                unit="environment's own",
                max_age_s=max(0.1, 3.0 * control_period_s),
            ),
        ),
        action=ActionSpec(
            topic="command",
            type="std_msgs/msg/Float64MultiArray",
            kind="effort",
            joints=tuple(f"action_{index}" for index in range(len(action_low))),
            unit="environment's own",
            low=action_low,
            high=action_high,
            safe_command=tuple(
                min(max(0.0, low), high) for low, high in zip(action_low, action_high, strict=True)
            ),
            choices=choices,
        ),
    )
