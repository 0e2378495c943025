"""Joint limits of a URDF: every usable field holds, every other one is named."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.task.joint_limit import JointLimit, tightest
from sac_ros.task.robot_description import (
    CHUNK_CHARACTERS,
    MAX_CHARACTERS,
    RobotDescriptionError,
    limits_of_urdf,
)

URDF = """<?xml version="1.0"?>
<robot name="arm">
  <link name="base"/>
  <joint name="shoulder" type="revolute">
    <limit lower="-1.5" upper="2.0" velocity="3.0" effort="40"/>
    <safety_controller soft_lower_limit="-1.4" soft_upper_limit="2.5" k_velocity="1"/>
  </joint>
  <joint name="wheel" type="continuous"><limit velocity="8.0" effort="1.0"/></joint>
  <joint name="bolt" type="fixed"/>
  <transmission name="t"><joint name="shoulder"><limit effort="1"/></joint></transmission>
</robot>
"""
ELBOW = JointLimit(joint="elbow", position=(-0.02, 0.02), velocity=3.0, effort=10.0)


def described(shoulder: str, kind: str = "revolute") -> tuple[JointLimit | None, str]:
    """Return the shoulder's limit, and its problem; the elbow beside it must keep its own."""
    urdf = (
        f'<robot name="r"><joint name="shoulder" type="{kind}">{shoulder}</joint>'
        '<joint name="elbow" type="revolute">'
        '<limit lower="-0.02" upper="0.02" effort="10" velocity="3"/></joint></robot>'
    )
    result = limits_of_urdf(urdf, ("shoulder", "elbow"))
    limits = {limit.joint: limit for limit in result.limits}
    assert limits["elbow"] == ELBOW
    assert all(problem.startswith("joint 'shoulder' ") for problem in result.problems)
    return limits.get("shoulder"), "".join(result.problems)


def test_limits_are_read_by_joint_name_with_the_soft_ones_where_narrower() -> None:
    result = limits_of_urdf(URDF, ("wheel", "shoulder"))
    assert result.limits == (
        JointLimit(joint="wheel", velocity=8.0, effort=1.0),
        JointLimit(joint="shoulder", position=(-1.4, 2.0), velocity=3.0, effort=40.0),
    )
    assert result.problems == ()


RANGE = 'lower="-1" upper="1"'
REST = 'velocity="2" effort="5"'


@pytest.mark.parametrize(
    ("shoulder", "position", "velocity", "effort", "named"),
    [
        (
            '<limit lower="0" upper="0" effort="0" velocity="0"/>',
            *(None, None, None),
            "placeholder",
        ),
        (f'<limit lower="0" upper="0" {REST}/>', None, 2.0, 5.0, "lower 0 and upper 0"),
        (f'<limit lower="1" upper="-1" {REST}/>', None, 2.0, 5.0, "lower 1 and upper -1"),
        (f'<limit lower="0.5" upper="0.5" {REST}/>', None, 2.0, 5.0, "no range"),
        (f"<limit {REST}/>", None, 2.0, 5.0, "no lower and upper"),
        (f'<limit upper="1" {REST}/>', (0.0, 1.0), 2.0, 5.0, ""),
        (f'<limit lower="-inf" upper="1" {REST}/>', (-math.inf, 1.0), 2.0, 5.0, "lower '-inf'"),
        (f'<limit lower="nan" upper="1" {REST}/>', (-math.inf, 1.0), 2.0, 5.0, "lower 'nan'"),
        (f'<limit lower="-1" upper="1e999" {REST}/>', (-1.0, math.inf), 2.0, 5.0, "'1e999'"),
        (f'<limit lower="${{low}}" upper="1" {REST}/>', (-math.inf, 1.0), 2.0, 5.0, "${low}"),
        (f'<limit {RANGE} velocity="inf" effort="5"/>', (-1.0, 1.0), None, 5.0, "'inf'"),
        (f'<limit {RANGE} velocity="-2" effort="5"/>', (-1.0, 1.0), None, 5.0, "'-2'"),
        (f'<limit {RANGE} velocity="2" effort="nan"/>', (-1.0, 1.0), 2.0, None, "effort 'nan'"),
        (f'<limit {RANGE} velocity="2" effort=""/>', (-1.0, 1.0), 2.0, None, "effort ''"),
        (f'<limit {RANGE} velocity="2"/>', (-1.0, 1.0), 2.0, None, "no effort"),
        ("", None, None, None, "no <limit>"),
        (
            f"<limit {RANGE} {REST}/>"
            '<safety_controller soft_lower_limit="nan" soft_upper_limit="nan"/>',
            *((-1.0, 1.0), 2.0, 5.0),
            "soft_lower_limit 'nan'; has soft_upper_limit 'nan'",
        ),
        (
            f"<limit {RANGE} {REST}/>"
            '<safety_controller soft_lower_limit="-0.5" soft_upper_limit="nan"/>',
            *((-0.5, 1.0), 2.0, 5.0),
            "soft_upper_limit 'nan'",
        ),
        (
            f"<limit {RANGE} {REST}/>"
            '<safety_controller soft_lower_limit="2" soft_upper_limit="3"/>',
            *((-1.0, 1.0), 2.0, 5.0),
            "soft limits [2.0, 3.0] outside of",
        ),
    ],
)
def test_unusable_field_is_named_and_all_others_hold(
    shoulder: str,
    position: tuple[float, float] | None,
    velocity: float | None,
    effort: float | None,
    named: str,
) -> None:
    limit, problem = described(shoulder)
    expected = JointLimit(joint="shoulder", position=position, velocity=velocity, effort=effort)
    assert limit == (None if expected == JointLimit(joint="shoulder") else expected)
    assert named in problem and bool(problem) is bool(named)


def test_continuous_joint_has_no_position_limit_but_its_others_hold() -> None:
    limit, problem = described(f'<limit {RANGE} velocity="-2" effort="5"/>', "continuous")
    assert limit == JointLimit(joint="shoulder", effort=5.0) and "velocity '-2'" in problem


def test_joint_that_cannot_move_is_named() -> None:
    limit, problem = described("", "fixed")
    assert limit is None and "the type 'fixed'" in problem


def test_joint_that_is_absent_or_there_twice_is_named() -> None:
    assert limits_of_urdf(URDF, ("tail",)).problems == ("joint 'tail' is not in it",)
    twice = URDF.replace(
        "</robot>",
        f'<joint name="shoulder" type="revolute"><limit {RANGE} {REST}/></joint></robot>',
    )
    result = limits_of_urdf(twice, ("shoulder",))
    assert "more than once" in result.problems[0]
    assert result.limits == (
        JointLimit(joint="shoulder", position=(-1.0, 1.0), velocity=2.0, effort=5.0),
    )


@pytest.mark.parametrize("before", ["\n", "\ufeff", "  \n\t"])
def test_blank_before_the_xml_declaration_is_no_error(before: str) -> None:
    assert limits_of_urdf(before + URDF, ("wheel",)).limits[0].velocity == 8.0


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    + ']><robot name="r">&a11;</robot>'
)
EXTERNAL = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><robot name="r">&x;</robot>'
PARAMETER = '<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><robot name="r"/>'


@pytest.mark.parametrize(
    ("urdf", "reason"),
    [
        ("", "not XML"),
        ("<robot><joint", "not XML"),
        ("<robot/><robot/>", "not XML"),
        ("<sdf/>", "<sdf>"),
        ("<robot name='\x00'/>", "not XML"),
        ("<robot name='\udcff'/>", "not text"),
        (" " * (MAX_CHARACTERS + 1), "characters"),
        (BOMB, "entities"),
        (EXTERNAL, "entities"),
        (PARAMETER, "entities"),
        ("<robot>" * 100_000, "not XML"),
    ],
)
def test_text_that_is_no_urdf_is_refused_in_one_line(urdf: str, reason: str) -> None:
    began_s = time.process_time()
    with pytest.raises(RobotDescriptionError, match=reason) as caught:
        limits_of_urdf(urdf, ("shoulder",))
    assert "\n" not in str(caught.value)
    assert time.process_time() - began_s < 5.0  # nothing has been expanded


def test_other_threads_may_run_between_the_chunks_of_a_large_description() -> None:
    links = "".join(f"<link name='l{i}'><visual/></link>" for i in range(20_000))
    urdf = URDF.replace('<link name="base"/>', links)
    calls: list[None] = []
    result = limits_of_urdf(urdf, ("wheel",), lambda: calls.append(None))
    assert result.limits[0].velocity == 8.0
    assert len(calls) >= len(urdf) // CHUNK_CHARACTERS


NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["0", "0.0", "-0", "", "x", "1,5", "1e999", "nan", "-inf", "0x10", "1_0"]),
    st.text(max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={key: NUMBERS for key in ("lower", "upper", "velocity", "effort")},
    ),
    st.fixed_dictionaries(
        {}, optional={key: NUMBERS for key in ("soft_lower_limit", "soft_upper_limit")}
    ),
    st.sampled_from(["revolute", "prismatic", "continuous"]),
)
def test_whatever_one_joint_says_the_other_keeps_its_limits(
    limit: dict[str, str], soft: dict[str, str], kind: str
) -> None:
    from xml.sax.saxutils import quoteattr

    def element(tag: str, attributes: dict[str, str]) -> str:
        return f"<{tag} {' '.join(f'{k}={quoteattr(v)}' for k, v in attributes.items())}/>"

    try:
        found, _ = described(element("limit", limit) + element("safety_controller", soft), kind)
    except RobotDescriptionError:
        return  # a character that XML does not allow
    if found is not None and found.position is not None:
        assert found.position[0] < found.position[1]
    for bound in () if found is None else (found.velocity, found.effort):
        assert bound is None or 0.0 < bound < math.inf


def test_narrowest_of_all_limits_holds() -> None:
    first = JointLimit(joint="a", position=(-1.0, 2.0), effort=5.0)
    second = JointLimit(joint="a", position=(-2.0, 1.0), velocity=3.0, effort=4.0)
    assert tightest((first, second)) == (
        JointLimit(joint="a", position=(-1.0, 1.0), velocity=3.0, effort=4.0),
    )
