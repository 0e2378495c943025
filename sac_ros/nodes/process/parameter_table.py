"""A node's parameters as a table: each row names one, gives its default and range, explains it.

`ros2 param set` must not succeed without an effect. While a node uses its parameters, a change is
applied at once or refused with the reason, so `ros2 param get` always tells what is in force.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from sac_ros.errors import InputError
from sac_ros.task.yaml_document import read_mapping

SEED_RANGE = (0, 2**31 - 1)
UNTIL_RESTART = "it is read when the process starts; restart it with the new value"
UNTIL_CLEANUP = (
    "it is read when the node is configured; deactivate it, clean it up, set the parameter, and"
    " configure it again"
)


class ParameterError(InputError):
    """A parameter has a value the node cannot use."""


@dataclass(frozen=True)
class Parameter:
    """One parameter; its type is that of its default."""

    name: str
    default: str | bool | int | float
    description: str
    bounds: tuple[float, float] | None = None
    """Least and greatest number that rclpy lets anybody set."""
    choices: tuple[str, ...] | None = None
    """The texts that are allowed; None for any."""
    is_fixed: bool = False
    """Whether it counts only when the process starts."""


def niceness(default: int) -> Parameter:
    """Return the parameter by which a process gives way to others; see niceness.py."""
    return Parameter(
        "niceness",
        default,
        "How far this process stands behind all others for the processor, 0 to 19.",
        (0, 19),
    )


class ParameterGuard:
    """Refuses every change of a node's parameters that would have no effect."""

    def __init__(self, node: Node, parameters: Sequence[Parameter]) -> None:
        self._node = node
        self._rows = {parameter.name: parameter for parameter in parameters}
        self._reason: str | None = None
        self._appliers: dict[str, Callable[[float], None]] = {}
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def freeze(self, reason: str) -> None:
        """Refuse changes from now on, for this reason: the parameters have been read."""
        self._reason = reason

    def thaw(self) -> None:
        """Accept changes again: the parameters will be read anew."""
        self._reason = None
        self._appliers.clear()

    def apply_changes(self, name: str, apply: Callable[[float], None]) -> None:
        """Accept changes of one number although it has been read: `apply` puts them in force."""
        self._appliers[name] = apply

    def _check(self, changes: "list[RosParameter[Any]]") -> SetParametersResult:
        for change in changes:
            refusal = self._refusal(change)
            if refusal is not None:
                return SetParametersResult(successful=False, reason=refusal)
        return SetParametersResult(successful=True)

    def _refusal(self, change: "RosParameter[Any]") -> str | None:
        row = self._rows.get(change.name)
        # A node's time is chosen together with its own parameters.
        if row is None and change.name != "use_sim_time":
            return None
        current = self._node.get_parameter(change.name).value
        if change.value == current or change.name in self._appliers:
            return None
        if row is not None and row.choices is not None and change.value not in row.choices:
            return f"{change.name} is {change.value!r}, expected one of {list(row.choices)}"
        reason = UNTIL_RESTART if row is not None and row.is_fixed else self._reason
        return None if reason is None else f"{change.name} stays {current!r}: {reason}"

    def _apply(self, changes: "list[RosParameter[Any]]") -> None:
        for change in changes:
            if change.name in self._appliers:
                self._appliers[change.name](change.value)


def declare(node: Node, parameters: Sequence[Parameter]) -> ParameterGuard:
    """Declare every parameter with its description and range."""
    for parameter in parameters:
        descriptor = ParameterDescriptor(description=parameter.description)
        if parameter.choices is not None:
            descriptor.additional_constraints = f"one of {', '.join(parameter.choices)}"
        if parameter.bounds is not None:
            least, greatest = parameter.bounds
            if isinstance(parameter.default, float):
                floats = FloatingPointRange(from_value=float(least), to_value=float(greatest))
                descriptor.floating_point_range = [floats]
            else:
                whole = IntegerRange(from_value=int(least), to_value=int(greatest), step=1)
                descriptor.integer_range = [whole]
        node.declare_parameter(parameter.name, parameter.default, descriptor)
    return ParameterGuard(node, parameters)


def refuse_damaged_parameter_files(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a `--params-file` that rclpy would read otherwise than it is written.

    Of two equal keys rclpy takes the last one without a word.
    """
    for option, value in pairwise(arguments):
        if option == "--params-file":
            read_mapping(Path(value))


def text(node: Node, name: str) -> str:
    """Return a parameter that is a text."""
    return str(node.get_parameter(name).value)


def number(node: Node, name: str) -> float:
    """Return a parameter that is a real number."""
    return float(node.get_parameter(name).value)


def count(node: Node, name: str) -> int:
    """Return a parameter that is a whole number."""
    return int(node.get_parameter(name).value)


def flag(node: Node, name: str) -> bool:
    """Return a parameter that is true or false."""
    return bool(node.get_parameter(name).value)


def path(node: Node, name: str) -> Path | None:
    """Return a parameter that is a path, `~` expanded; None if it is empty."""
    return Path(text(node, name)).expanduser() if text(node, name) else None


def choice(node: Node, parameters: Sequence[Parameter], name: str) -> str:
    """Return a parameter that is one of its row's choices; raise ParameterError."""
    value = text(node, name)
    choices = next(row.choices for row in parameters if row.name == name)
    if choices is None or value not in choices:
        raise ParameterError(
            f"parameter {name!r} is {value!r}, expected one of {list(choices or ())}"
        )
    return value
