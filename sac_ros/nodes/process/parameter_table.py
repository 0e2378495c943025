"""A node's parameters as a table: each row names one, gives its default and range, explains it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from sac_ros.errors import InputError

SEED_RANGE = (0, 2**31 - 1)


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


def niceness(default: int) -> Parameter:
    """Return the parameter by which a process gives way to others; see niceness.py."""
    return Parameter(
        "niceness",
        default,
        "How far this process stands behind all others for the processor, 0 to 19.",
        (0, 19),
    )


def declare(node: Node, parameters: Iterable[Parameter]) -> None:
    """Declare every parameter with its description and range."""
    for parameter in parameters:
        descriptor = ParameterDescriptor(description=parameter.description)
        if parameter.bounds is not None:
            least, greatest = parameter.bounds
            if isinstance(parameter.default, float):
                floats = FloatingPointRange(from_value=float(least), to_value=float(greatest))
                descriptor.floating_point_range = [floats]
            else:
                whole = IntegerRange(from_value=int(least), to_value=int(greatest), step=1)
                descriptor.integer_range = [whole]
        node.declare_parameter(parameter.name, parameter.default, descriptor)


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


def choice(node: Node, name: str, choices: tuple[str, ...]) -> str:
    """Return a parameter that is one of these; raise ParameterError."""
    value = text(node, name)
    if value not in choices:
        raise ParameterError(f"parameter {name!r} is {value!r}, expected one of {list(choices)}")
    return value
