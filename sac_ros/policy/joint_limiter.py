"""Joint limits as bounds on a command, from what is measured of the joint.

The rules are those of ros2_control's joint_limits (joint_limits_helpers.cpp): a velocity may not
carry the joint past its range within one period, nor further out once it is there; an effort may
not push it further out or faster. No rule sets a joint in motion that is asked to rest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.task.joint_limit import JointLimit, tightest
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec


@dataclass(frozen=True)
class JointMeasurement:
    """One field of the commanded joints [A], gathered from the task's readings."""

    places: tuple[tuple[str, int] | None, ...]
    """Reading and entry of each commanded joint; None where no reading has it."""

    @classmethod
    def of(cls, task: TaskSpec, field: str) -> "JointMeasurement":
        """Find the commanded joints' `position` or `velocity` among the readings."""
        places = {
            joint: (reading.name, entry)
            for reading in reversed(task.readings)
            if reading.field == field
            for entry, joint in enumerate(reading.joints)
        }
        return cls(tuple(places.get(joint) for joint in task.action.joints))

    @property
    def is_complete(self) -> bool:
        """Say whether every commanded joint is measured."""
        return None not in self.places

    def values(self, readings: Readings) -> NDArray[np.float64]:
        """Return the newest values [A]; NaN for joints of which there is no reading."""
        return np.array(
            [
                readings[at[0]][at[1]] if at is not None and at[0] in readings else np.nan
                for at in self.places
            ]
        )


class JointLimiter:
    """The limits of the commanded joints as bounds on the command [A]."""

    def __init__(self, task: TaskSpec, limits: tuple[JointLimit, ...]) -> None:
        """Raise ValueError if a joint's limits and the command's range do not overlap."""
        spec = task.action
        by_joint = {limit.joint: limit for limit in tightest(limits)}
        each = [by_joint.get(joint, JointLimit(joint=joint)) for joint in spec.joints]
        position = [limit.position or (-np.inf, np.inf) for limit in each]
        self._min_position, self._max_position = np.array(position, dtype=np.float64).T
        self._max_velocity = _or_infinite([limit.velocity for limit in each])
        max_effort = _or_infinite([limit.effort for limit in each])
        static_low, static_high = {
            "position": (self._min_position, self._max_position),
            "velocity": (-self._max_velocity, self._max_velocity),
            "effort": (-max_effort, max_effort),
        }[spec.kind]
        self.low = np.maximum(spec.low, static_low)
        self.high = np.minimum(spec.high, static_high)
        """The command's own range, narrowed by what holds whatever the joint does."""
        if not (self.low <= self.high).all():
            raise ValueError(
                f"joint limits leave no {spec.kind} for {list(spec.joints)}: {self.low.tolist()} to"
                f" {self.high.tolist()}"
            )
        self.max_rate = (
            self._max_velocity if spec.kind == "position" else np.full(len(each), np.inf)
        )
        """Greatest change of the command a second: a position that is followed moves so fast."""
        self._kind = spec.kind
        self._period_s = task.control_period_s
        self._position = JointMeasurement.of(task, "position")
        self._velocity = JointMeasurement.of(task, "velocity")
        self.unenforceable = self._find_unenforceable(each)
        self.depends_on_state = spec.kind != "position" and bool(
            np.isfinite(self._max_position).any()
            or np.isfinite(self._min_position).any()
            or (spec.kind == "effort" and np.isfinite(self._max_velocity).any())
        )

    def bounds(self, readings: Readings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return least and greatest command [A] for a robot in this state."""
        position = self._position.values(readings)
        # A NaN compares as False and is passed over by fmin: what is not measured does not bound.
        if self._kind == "velocity":
            to_min = (self._min_position - position) / self._period_s
            to_max = (self._max_position - position) / self._period_s
            # Beyond its range a joint is not moved back by us: the policy may, at its own speed.
            low = np.fmax(self.low, np.minimum(to_min, 0.0))
            high = np.fmin(self.high, np.maximum(to_max, 0.0))
        else:
            velocity = self._velocity.values(readings)
            at_low = (position <= self._min_position) & ~(velocity > 0.0)
            at_high = (position >= self._max_position) & ~(velocity < 0.0)
            low = np.where(at_low | (velocity < -self._max_velocity), 0.0, self.low)
            high = np.where(at_high | (velocity > self._max_velocity), 0.0, self.high)
        # What the command can express comes first: a range without zero has no zero to fall to.
        return np.clip(low, self.low, self.high), np.clip(high, self.low, self.high)

    def _find_unenforceable(self, each: list[JointLimit]) -> tuple[str, ...]:
        """Return in words which limits need a reading that the task does not have."""
        needed = {"velocity": ("position",), "effort": ("position", "velocity")}
        fields = {"position": self._position, "velocity": self._velocity}
        return tuple(
            f"{field} limit of {limit.joint!r}"
            for field in needed.get(self._kind, ())
            for limit, place in zip(each, fields[field].places, strict=True)
            if getattr(limit, field) is not None and place is None
        )


def _or_infinite(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.inf if value is None else value for value in values])
