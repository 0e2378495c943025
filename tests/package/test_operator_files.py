"""The files in config/ for the people at the robot: displays, and the controller behind it."""

import configparser
import json
import re
import xml.etree.ElementTree as ElementTree

import yaml
from source_tree import ROOT

from sac_ros.task.ending import Ending
from sac_ros.task.task_spec import load_task

CHEETAH = load_task("half_cheetah")
KNOWN_TOPICS = {
    "/diagnostics",
    "/joint_states",
    "/joint_commands",
    "/policy_node/transitions",
    "/policy_node/shadow_action",
    "/policy_node/estopped",
}


def panels_in(node: object) -> set[str]:
    """Return the panels that a Foxglove layout places."""
    if isinstance(node, str):
        return {node}
    assert isinstance(node, dict)
    return panels_in(node["first"]) | panels_in(node["second"])


def test_foxglove_layout_places_every_panel_and_shows_topics_that_exist() -> None:
    layout = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
    assert panels_in(layout["layout"]) == set(layout["configById"])
    shown: set[str] = set()
    for config in layout["configById"].values():
        paths = [path["value"] for path in config.get("paths", ())]
        paths += [config[key] for key in ("topicToRender", "topicPath") if key in config]
        shown |= {re.split(r"[.\[]", path)[0] for path in paths}
    assert shown <= KNOWN_TOPICS and {"/diagnostics", "/joint_commands"} <= shown


def test_plotjuggler_layout_shows_the_cheetahs_joints_and_commands() -> None:
    root = ElementTree.parse(ROOT / "config" / "plotjuggler_layout.xml").getroot()
    curves = {str(curve.get("name")) for curve in root.iter("curve")}
    for index, joint in enumerate(CHEETAH.action.joints):
        assert f"/joint_states/{joint}/position" in curves
        assert f"/joint_commands/data[{index}]" in curves


def test_controller_behind_the_node_holds_when_commands_stop() -> None:
    text = (ROOT / "config" / "ros2_control_fallback.yaml").read_text()
    content = yaml.safe_load(text)
    manager = content["controller_manager"]["ros__parameters"]
    controller = content["policy_controller"]["ros__parameters"]
    for fallback in manager["policy_controller"]["fallback_controllers"]:
        assert manager[fallback]["type"] and fallback in content
    # The controller ignores a timeout that is not longer than its goal time.
    assert controller["cmd_timeout"] > controller["constraints"]["goal_time"] > 0.0
    arm = load_task("two_joint_arm")
    assert controller["joints"] == list(arm.action.joints)


def test_joystick_reaches_topics_and_services_of_the_policy_node() -> None:
    content = yaml.safe_load((ROOT / "config" / "joystick.yaml").read_text())
    commands = content["/**/joy_teleop"]["ros__parameters"]
    pendulum = load_task("inverted_pendulum")
    assert commands["intervene"]["interface_type"] == pendulum.action.type
    assert commands["intervene"]["deadman_buttons"]
    assert len(commands["intervene"]["axis_mappings"]) == pendulum.action_dim
    source = (ROOT / "sac_ros" / "nodes" / "control" / "robot_connections.py").read_text()
    assert f'"{commands["intervene"]["topic_name"].replace("policy_node", "~")}"' in source
    services = {name: c["service_name"] for name, c in commands.items() if c["type"] == "service"}
    assert services == {name: f"policy_node/{name}" for name in ("success", "abort", "estop")}
    assert {ending.value for ending in Ending} <= set(services)


def test_every_status_that_is_published_is_explained() -> None:
    text = (ROOT / "docs" / "operate" / "operating.md").read_text()
    nodes = (ROOT / "sac_ros" / "nodes").rglob("*.py")
    source = "".join(path.read_text() for path in nodes)
    names = set(re.findall(r"Status\(\s*\"([a-z ]+)\"", source))
    assert len(names) >= 6
    for name in names:
        assert f"`{name}`" in text, name


def test_systemd_signals_the_node_itself_and_leaves_it_time_for_the_last_command() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read(ROOT / "deploy/sac_ros_policy.service")
    service = unit["Service"]
    # Another process between, such as ros2 run, would end without its child.
    assert "exec" in service["ExecStart"] and "ros2 run" not in service["ExecStart"]
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) >= 1
