"""Joint limits out of a robot's URDF (https://wiki.ros.org/urdf/XML/joint)."""

import xml.etree.ElementTree as ElementTree

from sac_ros.errors import InputError
from sac_ros.task.joint_limit import JointLimit

MAX_CHARACTERS = 16 * 1024 * 1024


class RobotDescriptionError(InputError):
    """A robot_description is not a URDF that can be read."""


def joint_limits_of_urdf(urdf: str, joints: tuple[str, ...]) -> tuple[JointLimit, ...]:
    """Return the limits of those of the named joints that the URDF describes.

    A `<safety_controller>`'s soft limits narrow the position range. A continuous joint has no
    position limit; a velocity or effort of zero means that nobody filled it in.
    Raises RobotDescriptionError.
    """
    if len(urdf) > MAX_CHARACTERS:
        raise RobotDescriptionError(
            f"robot_description has {len(urdf)} characters, more than {MAX_CHARACTERS}"
        )
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        raise RobotDescriptionError(f"robot_description is not XML: {error}") from error
    if root.tag != "robot":
        raise RobotDescriptionError(
            f"robot_description is a <{root.tag}>, expected a URDF, whose root is <robot>"
        )
    found = {str(joint.get("name")): joint for joint in root.findall("joint")}
    try:
        return tuple(_limit(name, found[name]) for name in joints if name in found)
    except ValueError as error:
        raise RobotDescriptionError(f"robot_description: {error}") from error


def _limit(name: str, joint: ElementTree.Element) -> JointLimit:
    limit = joint.find("limit")
    attributes = {} if limit is None else limit.attrib
    position = None
    if joint.get("type") in ("revolute", "prismatic"):
        soft = joint.find("safety_controller")
        soft_attributes = {} if soft is None else soft.attrib
        low, high = (float(attributes.get(key, 0.0)) for key in ("lower", "upper"))
        position = (
            max(low, float(soft_attributes.get("soft_lower_limit", low))),
            min(high, float(soft_attributes.get("soft_upper_limit", high))),
        )
    return JointLimit(
        joint=name,
        position=position,
        velocity=float(attributes.get("velocity", 0.0)) or None,
        effort=float(attributes.get("effort", 0.0)) or None,
    )
