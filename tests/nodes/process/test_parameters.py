"""`ros2 param set` has an effect or is refused, and `param get` tells what is in force."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition as Change
from pendulum_robot import started
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from ros_processes import NodeProcess, Observer, observing

from sac_ros.nodes.control.policy_parameters import PARAMETERS
from sac_ros.nodes.process.parameter_table import declare
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode

pytestmark = pytest.mark.ros


def set_parameter(observer: Observer, node: str, name: str, value: object) -> SetParametersResult:
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    return observer.call(SetParameters, f"{node}/set_parameters", request).results[0]


def get_parameter(observer: Observer, node: str, name: str) -> object:
    request = GetParameters.Request(names=[name])
    response = observer.call(GetParameters, f"{node}/get_parameters", request)
    return Parameter.from_parameter_msg(
        type("Named", (), {"name": name, "value": response.values[0]})()
    ).value


def test_active_policy_node_refuses_what_it_has_read_and_applies_the_rest(
    policy: Path, log: Path
) -> None:
    with observing() as observer, started(policy, log):
        observer.wait_until_active()
        for name, value in (
            ("shadow", True),
            ("task", "nonsense"),
            ("policy", "other.onnx"),
            ("max_age_s", 5.0),
            ("use_sim_time", True),
        ):
            before = get_parameter(observer, "policy_node", name)
            result = set_parameter(observer, "policy_node", name, value)
            assert not result.successful and "configure" in result.reason
            assert get_parameter(observer, "policy_node", name) == before
        assert set_parameter(observer, "policy_node", "shadow", False).successful  # as it is
        assert "restart" in set_parameter(observer, "policy_node", "executor", "single").reason
        assert set_parameter(observer, "policy_node", "intervention_timeout_s", 0.5).successful
        assert get_parameter(observer, "policy_node", "intervention_timeout_s") == 0.5

        assert observer.change_state(Change.TRANSITION_DEACTIVATE)
        assert not set_parameter(observer, "policy_node", "shadow", True).successful
        assert observer.change_state(Change.TRANSITION_CLEANUP)
        assert set_parameter(observer, "policy_node", "shadow", True).successful
        refused = set_parameter(observer, "policy_node", "run", "nonsense")
        assert not refused.successful and "'episodes'" in refused.reason
        assert observer.change_state(Change.TRANSITION_CONFIGURE)
        assert get_parameter(observer, "policy_node", "shadow") is True


def test_failed_configure_leaves_the_parameters_open(policy: Path, log: Path) -> None:
    with (
        observing() as observer,
        NodeProcess("policy_node", "policy:=/nowhere.onnx", log=log),
    ):
        assert not observer.change_state(Change.TRANSITION_CONFIGURE)
        assert set_parameter(observer, "policy_node", "policy", str(policy)).successful
        assert observer.change_state(Change.TRANSITION_CONFIGURE)


def test_simulated_robot_refuses_what_would_have_no_effect(log: Path) -> None:
    with observing() as observer, NodeProcess("sim_robot_node", "task:=two_joint_arm", log=log):
        refused = set_parameter(observer, "sim_robot", "actuator_gain", 0.001)
        assert not refused.successful and "stays 1.0" in refused.reason
        assert get_parameter(observer, "sim_robot", "actuator_gain") == 1.0
        assert set_parameter(observer, "sim_robot", "command_timeout_s", 0.25).successful


def test_number_that_can_be_applied_reaches_its_user() -> None:
    side = EmbeddedNode("policy_node")
    try:
        guard, applied = declare(side.node, PARAMETERS), list[float]()
        guard.freeze("they have been read")
        guard.apply_changes("fade_in_s", applied.append)
        assert side.node.set_parameters([Parameter("fade_in_s", value=2.0)])[0].successful
        assert applied == [2.0]
        result = side.node.set_parameters([Parameter("seed", value=3)])[0]
        assert not result.successful and "they have been read" in result.reason
        guard.thaw()
        assert side.node.set_parameters([Parameter("seed", value=3)])[0].successful
    finally:
        side.close()


def test_parameter_file_with_a_key_twice_is_refused(tmp_path: Path, log: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("/**:\n  ros__parameters:\n    seed: 1\n    seed: 2\n")
    start = "import sac_ros.nodes.process.executables as e; e.policy_node()"
    done = subprocess.run(
        [sys.executable, "-c", start, "--ros-args", "--params-file", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{path}, line 4: key 'seed' a second time" in done.stderr
    assert "Traceback" not in done.stderr
