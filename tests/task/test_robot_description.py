import pytest

from sac_ros.task.joint_limit import JointLimit, tightest
from sac_ros.task.robot_description import RobotDescriptionError, joint_limits_of_urdf

URDF = """<?xml version="1.0"?>
<robot name="arm">
  <link name="base"/>
  <joint name="shoulder" type="revolute">
    <limit lower="-1.5" upper="2.0" velocity="3.0" effort="40"/>
    <safety_controller soft_lower_limit="-1.4" soft_upper_limit="2.5" k_velocity="1"/>
  </joint>
  <joint name="wheel" type="continuous"><limit velocity="8.0" effort="0.0"/></joint>
  <joint name="bolt" type="fixed"/>
</robot>
"""


def test_limits_are_read_by_joint_name_with_the_soft_ones_where_narrower() -> None:
    assert joint_limits_of_urdf(URDF, ("wheel", "shoulder", "tail", "bolt")) == (
        JointLimit(joint="wheel", velocity=8.0),
        JointLimit(joint="shoulder", position=(-1.4, 2.0), velocity=3.0, effort=40.0),
        JointLimit(joint="bolt"),
    )


@pytest.mark.parametrize(
    ("urdf", "reason"),
    [
        ("", "not XML"),
        ("<robot><joint", "not XML"),
        ("<sdf/>", "<sdf>"),
        (URDF.replace('velocity="3.0"', 'velocity="fast"'), "fast"),
        (URDF.replace('velocity="3.0"', 'velocity="nan"'), "velocity"),
        (URDF.replace('upper="2.0"', 'upper="-2.0"'), r"\[low, high\]"),
    ],
)
def test_description_that_cannot_be_understood_is_refused(urdf: str, reason: str) -> None:
    with pytest.raises(RobotDescriptionError, match=reason):
        joint_limits_of_urdf(urdf, ("shoulder",))


def test_narrowest_of_all_limits_holds() -> None:
    first = JointLimit(joint="a", position=(-1.0, 2.0), effort=5.0)
    second = JointLimit(joint="a", position=(-2.0, 1.0), velocity=3.0, effort=4.0)
    assert tightest((first, second)) == (
        JointLimit(joint="a", position=(-1.0, 1.0), velocity=3.0, effort=4.0),
    )
