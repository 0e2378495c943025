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
from sac_ros.task.strict_yaml import ConfigError, Infinite, parse_mapping, read_mapping


class TaskError(ConfigError):
    """The task is unknown, or its file contradicts itself."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A named vector of numbers that the robot measures: one field of one topic."""

    name: str
    """Name of the reading; reward and termination terms refer to it. An MJCF model needs a sensor
    of this name for every reading that is not a joint's."""
    topic: str
    """ROS 2 topic, relative, so that namespaces and remappings work."""
    type: ReadableType
    """Message type of the topic."""
    field: str
    """Path of the field in the message, such as `position` or `twist.twist.linear`."""
    joints: tuple[str, ...] = ()
    """Joints of a JointState, in the order of the reading's entries. Required for a JointState,
    refused for every other type."""
    size: int = 0
    """Length of the array [entries]. Required for a Float64MultiArray, known for other types."""
    unit: str
    """Unit of the values as the topic carries them, such as `rad`; part of the fingerprint."""
    max_age_s: float = 0.1
    """Longest time since its arrival [s]. An older reading is stale: `on_fault` answers."""
    valid_range: tuple[float, float] | None = None
    """Least and greatest value that the sensor can measure; a reading with an entry outside is a
    fault, as a stale one [unit of the reading]. Default: bounds so wide that only a broken sensor
    leaves them."""
    max_frozen_s: float | None = None
    """Longest time without a change of any bit while commands are sent [s]. After it the sensor
    counts as stuck. None for sensors that may stand still."""

    def __post_init__(self) -> None:
        """Refuse a topic, field or size that no message can supply."""
        fields = FIELD_SIZES[self.type]
        if self.topic.startswith("/"):
            raise ValueError(f"topic {self.topic!r} of {self.name!r} is absolute; drop the '/'")
        if self.field not in fields:
            raise ValueError(
                f"{self.name!r} reads {self.field!r} of {self.type}, expected one of {list(fields)}"
            )
        for name in ("max_age_s", "max_frozen_s"):
            value = getattr(self, name)
            # An infinite age would switch the check off.
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"{name} of {self.name!r} must be positive, got {value}")
        if self.valid_range is not None and not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(
                f"valid_range of {self.name!r} must be [low, high], got {list(self.valid_range)}"
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

    clip: tuple[Infinite, Infinite] | None = None
    """Bounds on every entry, applied before `scale` [unit of the reading]; None: no bounds."""
    scale: float = 1.0
    """Divisor of every entry [unit of the reading]; choose it so that obs stays near [-1, 1]."""
    history: int = 1
    """Number of control steps that the observation holds, oldest first [steps]."""

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
    """Which term; the table of reward terms has the equations."""
    weight: float
    """Factor of the term [reward per unit of the term]; negative for a penalty."""
    reading: str | None = None
    """Reading of `forward_velocity` and `error_squared`; the other terms have none."""
    target: tuple[float, ...] | None = None
    """Target of `error_squared`, entry by entry [unit of the reading]; None: zeros."""

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
    """Reading whose entries are all compared with the range."""
    low: Infinite | None = None
    """Lower end of the range [unit of the reading]; None: no lower end."""
    high: Infinite | None = None
    """Upper end of the range [unit of the reading]; None: no upper end."""
    why: str
    """Reason for the log and the operator, such as `fell over`."""

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
    """Gymnasium environment; excludes `mjcf`. Its own observation, reward and termination count."""
    mjcf: str | None = None
    """MuJoCo model file, relative to the task file; excludes `gymnasium_id`."""
    keyframe: str | None = None
    """Keyframe of the model to start from; None: the model's default pose, qpos0."""
    reset_position_noise: float = 0.0
    """Half-width of the uniform noise on every joint position at reset [rad or m]."""
    reset_velocity_noise: float = 0.0
    """Half-width of the uniform noise on every joint velocity at reset [rad/s or m/s]."""

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
    """Name of the task, for logs and for the policy file."""
    simulator: Simulator
    """Where training happens."""
    control_period_s: float
    """Time between two commands [s]."""
    max_episode_steps: int
    """Time limit of an episode [steps]; it truncates, it does not terminate."""
    success_return: float | None = None
    """Return from which an episode counts as a success [reward]; None: no success rate."""
    observation: tuple[Channel, ...]
    """Channels of the observation, in order: one entry for each reading that the policy sees."""
    reward_readings: tuple[Reading, ...] = ()
    """Readings for reward and termination only; the policy does not see them."""
    action: ActionSpec
    """What the policy commands, and within which limits."""
    reward: tuple[RewardTerm, ...] = ()
    """Terms whose weighted sum is the reward of a step."""
    termination: tuple[TerminationTerm, ...] = ()
    """Conditions that end an episode as terminated."""

    def __post_init__(self) -> None:
        """Refuse duplicate names and terms that refer to readings nobody supplies."""
        if not (math.isfinite(self.control_period_s) and self.control_period_s > 0.0):
            raise ValueError(f"control_period_s must be positive, got {self.control_period_s}")
        if self.success_return is not None and not math.isfinite(self.success_return):
            raise ValueError(f"success_return must be finite, got {self.success_return}")
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
