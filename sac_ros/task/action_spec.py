"""What the policy commands, in which limits, and what is commanded instead when something fails."""

import math
from dataclasses import dataclass
from typing import Literal, cast

from sac_ros.task.joint_limit import JointLimit
from sac_ros.task.message_fields import TWIST_FIELDS, CommandType

Quantity = Literal["position", "velocity", "effort"]
FaultReaction = Literal["safe_command", "hold", "ramp", "damp", "deactivate"]
_BY_KIND = cast(FaultReaction, "")  # replaced as soon as the kind is known


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """What the policy commands: action [A] in [-1, 1] maps linearly onto [low, high]."""

    topic: str
    """ROS 2 topic of the commands, relative."""
    type: CommandType
    """Message type of the commands."""
    kind: Quantity
    """Quantity that is commanded."""
    joints: tuple[str, ...]
    """Joint of each entry; for a Twist its fields, such as `linear.x`."""
    unit: str
    """Unit of the command, such as `N m`; part of the fingerprint."""
    low: tuple[float, ...]
    """Command at action -1, entry by entry [unit of the command]."""
    high: tuple[float, ...]
    """Command at action +1, entry by entry [unit of the command]."""
    safe_command: tuple[float, ...]
    """Command [unit of the command] on every way out of the active state, and in answer to a fault
    if `on_fault` says so."""
    choices: tuple[tuple[float, ...], ...] | None = None
    """Commands that a discrete policy chooses from [unit of the command], for `sac_discrete`;
    None: any command in [low, high]."""
    rate_limit: tuple[float, ...] | None = None
    """Greatest change of each entry [unit of the command per s]; None: unlimited."""
    low_pass_hz: float | None = None
    """Cut-off frequency of a first-order low-pass filter on the command [Hz]; None: no filter."""
    joint_limits: tuple[JointLimit, ...] = ()
    """Limits of the commanded joints. A limit on a quantity other than `kind` needs a reading of
    that quantity."""
    on_fault: FaultReaction = _BY_KIND
    """Answer to a fault, at every tick until the fault is over; Reaction in
    sac_ros/policy/fault_reaction.py defines each. Default: `hold` for `kind: position`, else
    `safe_command`."""
    ramp_s: float = 1.0
    """For `ramp`: time that a command takes across its whole range [s]."""
    damping: tuple[float, ...] | None = None
    """For `damp`: effort against each joint's velocity [N m s/rad or N s/m]."""

    def __post_init__(self) -> None:
        """Refuse limits that do not bound, and a safe command outside of them."""
        if not self.on_fault:
            # A position that jumps to the safe one would be the greater danger.
            default = "hold" if self.kind == "position" else "safe_command"
            object.__setattr__(self, "on_fault", default)
        vectors = {"low": self.low, "high": self.high, "safe_command": self.safe_command}
        if self.rate_limit is not None:
            vectors["rate_limit"] = self.rate_limit
        if self.damping is not None:
            vectors["damping"] = self.damping
        for name, values in vectors.items():
            if len(values) != len(self.joints):
                raise ValueError(
                    f"action {name} has {len(values)} entries for {len(self.joints)} joints"
                )
            if not all(math.isfinite(value) for value in values):
                raise ValueError(f"action {name} is not finite: {list(values)}")
        if self.topic.startswith("/"):
            raise ValueError(f"action topic {self.topic!r} is absolute; drop the '/'")
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"action low {list(self.low)} must lie below high {list(self.high)}")
        if not all(
            low <= safe <= high
            for low, safe, high in zip(self.low, self.safe_command, self.high, strict=True)
        ):
            raise ValueError(f"safe_command {list(self.safe_command)} lies outside low..high")
        if self.rate_limit is not None and not all(rate > 0.0 for rate in self.rate_limit):
            raise ValueError(f"action rate_limit must be positive, got {list(self.rate_limit)}")
        if self.low_pass_hz is not None and not 0.0 < self.low_pass_hz < math.inf:
            raise ValueError(f"action low_pass_hz must be positive, got {self.low_pass_hz}")
        if "Twist" in self.type and not set(self.joints) <= set(TWIST_FIELDS):
            raise ValueError(f"action joints of a {self.type} must be among {list(TWIST_FIELDS)}")
        self._check_choices()
        self._check_joint_limits()
        self._check_reaction()

    @property
    def is_filtered(self) -> bool:
        """Say whether the task limits commands by more than their range."""
        return (self.rate_limit, self.low_pass_hz, self.joint_limits) != (None, None, ())

    def _check_choices(self) -> None:
        if self.choices is None:
            return
        if len(set(self.choices)) != len(self.choices) or len(self.choices) < 2:
            raise ValueError(
                f"action choices must be two or more that differ, got {list(self.choices)}"
            )
        for choice in self.choices:
            # Written so that a NaN is refused too.
            if len(choice) != len(self.joints) or not all(
                low <= value <= high
                for low, value, high in zip(self.low, choice, self.high, strict=True)
            ):
                raise ValueError(
                    f"action choice {list(choice)} must have an entry within low..high for each of"
                    f" {len(self.joints)} joints"
                )

    def _check_joint_limits(self) -> None:
        named = [limit.joint for limit in self.joint_limits]
        unknown = [joint for joint in named if joint not in self.joints]
        if unknown:
            raise ValueError(f"joint_limits names {unknown}, but commanded are {list(self.joints)}")
        if len(set(named)) != len(named):
            raise ValueError(f"joint_limits names a joint twice: {named}")

    def _check_reaction(self) -> None:
        if self.on_fault == "hold" and self.kind != "position":
            raise ValueError(
                f"on_fault hold would not stop a joint that is moved by {self.kind};"
                " use ramp, damp or safe_command"
            )
        if self.on_fault == "damp" and (self.kind != "effort" or self.damping is None):
            raise ValueError("on_fault damp needs kind effort and a damping for each joint")
        if self.damping is not None and not all(value >= 0.0 for value in self.damping):
            raise ValueError(f"action damping must not be negative, got {list(self.damping)}")
        if not (math.isfinite(self.ramp_s) and self.ramp_s > 0.0):
            raise ValueError(f"action ramp_s must be positive, got {self.ramp_s}")
