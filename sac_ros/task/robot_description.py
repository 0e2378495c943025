"""Joint limits out of a robot's URDF (https://wiki.ros.org/urdf/XML/joint), field by field.

URDFs of real robots hold placeholders (`lower="0" upper="0"`), infinities and typing errors. Each
unusable field is named and left out; every other limit holds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from sac_ros.errors import InputError
from sac_ros.task.joint_limit import JointLimit, tightest

MAX_CHARACTERS: Final = 16 * 1024 * 1024
CHUNK_CHARACTERS: Final = 8 * 1024
"""Parsed at a time: about 0.5 ms, during which no other thread of the process runs."""


class RobotDescriptionError(InputError):
    """A robot_description is not a URDF that can be read."""


@dataclass(frozen=True, kw_only=True)
class DescribedLimits:
    """What a URDF says about some joints."""

    limits: tuple[JointLimit, ...]
    """Every limit that can be used; a joint without any is left out."""
    problems: tuple[str, ...]
    """One line for each joint that has an unusable field, or that the URDF does not have."""


def limits_of_urdf(
    urdf: str, joints: tuple[str, ...], between_chunks: Callable[[], None] = lambda: None
) -> DescribedLimits:
    """Return the limits of the named joints; raise RobotDescriptionError if nothing can be read.

    A `<safety_controller>`'s soft limits narrow the position range. `between_chunks` is called
    every CHUNK_CHARACTERS; what it raises ends the parsing.
    """
    elements = _read_joints(urdf, frozenset(joints), between_chunks)
    limits: list[JointLimit] = []
    problems: list[str] = []
    for name in joints:
        of_joint: list[JointLimit] = []
        found: list[str] = [] if name in elements else ["is not in it"]
        if len(elements.get(name, ())) > 1:
            found.append("is in it more than once")
        for element in elements.get(name, ()):
            limit, unusable = _limit_of(name, element)
            of_joint.append(limit)
            found += unusable
        try:
            limits += [limit for limit in tightest(of_joint) if limit != JointLimit(joint=name)]
        except ValueError:
            found.append("has position ranges that do not overlap")
        if found:
            problems.append(f"joint {name!r} {'; '.join(found)}")
    return DescribedLimits(limits=tuple(limits), problems=tuple(problems))


@dataclass
class _JointElement:
    """The attributes of a `<joint>` that matter here."""

    type: str
    limit: dict[str, str] = field(default_factory=dict)
    soft: dict[str, str] = field(default_factory=dict)
    has_limit: bool = False


def _read_joints(
    urdf: str, names: frozenset[str], between_chunks: Callable[[], None]
) -> dict[str, list[_JointElement]]:
    """Return the `<joint>` elements with these names, as often as each occurs."""
    if len(urdf) > MAX_CHARACTERS:
        raise RobotDescriptionError(
            f"robot_description has {len(urdf)} characters, more than {MAX_CHARACTERS}"
        )
    reader = _UrdfReader(names)
    # An XML declaration must be the first thing; files with a blank line before it are common.
    text = urdf.lstrip("\ufeff \t\r\n")
    try:
        for start in range(0, len(text), CHUNK_CHARACTERS):
            reader.parser.Parse(text[start : start + CHUNK_CHARACTERS], False)
            between_chunks()
        reader.parser.Parse("", True)
    except expat.ExpatError as error:
        raise RobotDescriptionError(f"robot_description is not XML: {error}") from error
    except UnicodeEncodeError as error:
        raise RobotDescriptionError(f"robot_description is not text: {error.reason}") from error
    return reader.joints


class _UrdfReader:
    """Keeps the joints that are asked for, and refuses what could make a small text huge."""

    def __init__(self, names: frozenset[str]) -> None:
        self.joints: dict[str, list[_JointElement]] = {}
        self._names = names
        self._depth = 0
        self._joint: _JointElement | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        # Entities expand, and can name files; no URDF needs one.
        self.parser.EntityDeclHandler = self._refuse_entity
        self.parser.ExternalEntityRefHandler = self._refuse_entity

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and tag != "robot":
            raise RobotDescriptionError(
                f"robot_description is a <{tag}>, expected a URDF, whose root is <robot>"
            )
        if self._depth == 1 and tag == "joint" and attributes.get("name") in self._names:
            self._joint = _JointElement(attributes.get("type", ""))
            self.joints.setdefault(attributes["name"], []).append(self._joint)
        elif self._depth == 2 and self._joint is not None:
            if tag == "limit":
                self._joint.limit, self._joint.has_limit = attributes, True
            elif tag == "safety_controller":
                self._joint.soft = attributes
        self._depth += 1

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == 1:
            self._joint = None

    def _refuse_entity(self, *details: object) -> int:
        raise RobotDescriptionError(
            "robot_description declares XML entities, which are refused; write them out"
        )


def _limit_of(name: str, element: _JointElement) -> tuple[JointLimit, list[str]]:
    """Return what can be used of a joint's limits, and what cannot."""
    unusable: list[str] = []
    if element.type not in ("revolute", "prismatic", "continuous"):
        unusable.append(f"has the type {element.type!r}, which does not move along an axis")
        return JointLimit(joint=name), unusable
    if not element.has_limit and element.type != "continuous":
        unusable.append("has no <limit>")
    position = None
    if element.type != "continuous":
        hard = _range(element.limit, "lower", "upper", unusable) if element.has_limit else _ALL
        soft = _range(element.soft, "soft_lower_limit", "soft_upper_limit", unusable)
        position = max(hard[0], soft[0]), min(hard[1], soft[1])
        if not position[0] < position[1]:
            unusable.append(f"has soft limits {list(soft)} outside of {list(hard)}")
            position = hard
    return JointLimit(
        joint=name,
        position=None if position == _ALL else position,
        velocity=_greatest(element.limit, "velocity", unusable) if element.has_limit else None,
        effort=_greatest(element.limit, "effort", unusable) if element.has_limit else None,
    ), unusable


_ALL = (-math.inf, math.inf)


def _range(
    attributes: dict[str, str], lower: str, upper: str, unusable: list[str]
) -> tuple[float, float]:
    """Return a range, infinite on every side that has no usable bound."""
    if lower not in attributes and upper not in attributes:
        if lower == "lower":
            unusable.append("has no lower and upper")
        return _ALL
    # URDF: a bound that is left out is 0. For the soft limits nobody relies on that.
    default = "0" if lower == "lower" else None
    low = _bound(attributes, lower, default, unusable)
    high = _bound(attributes, upper, default, unusable)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if low < high:
        return low, high
    kind = "a placeholder" if low == high == 0.0 else "no range"
    unusable.append(f"has {lower} {low:g} and {upper} {high:g}, {kind}")
    return _ALL


def _bound(
    attributes: dict[str, str], key: str, default: str | None, unusable: list[str]
) -> float | None:
    text = attributes.get(key, default)
    if text is None:
        return None
    value = _number(text)
    if value is None or not math.isfinite(value):
        unusable.append(f"has {key} {_short(text)}")
        return None
    return value


def _greatest(attributes: dict[str, str], key: str, unusable: list[str]) -> float | None:
    """Return a greatest speed or effort; None if there is no usable one."""
    if key not in attributes:
        unusable.append(f"has no {key}")
        return None
    value = _number(attributes[key])
    if value is not None and 0.0 < value < math.inf:
        return value
    kind = ", a placeholder" if value == 0.0 else ""
    unusable.append(f"has {key} {_short(attributes[key])}{kind}")
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
