"""The parameter file that the launch files load, and that people copy."""

import pytest
import yaml

pytest.importorskip("rclpy")

from source_tree import ROOT

from sac_ros.nodes.control.policy_parameters import PARAMETERS
from sac_ros.nodes.process.parameter_table import declare
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode

pytestmark = [pytest.mark.ros, pytest.mark.distro]

# Whoever launches the node manages its states; it must not do so too.
LEFT_OUT = {"autostart"}


def test_it_holds_every_parameter_of_the_policy_node_with_its_default() -> None:
    content = yaml.safe_load((ROOT / "config" / "policy_node.yaml").read_text())
    side = EmbeddedNode("policy_node")
    node = side.node
    names_of_rclpy = set(node.get_parameters_by_prefix(""))
    try:
        declare(node, PARAMETERS)
        defaults = {
            name: parameter.value
            for name, parameter in node.get_parameters_by_prefix("").items()
            if name not in names_of_rclpy | LEFT_OUT
        }
    finally:
        side.close()

    assert content == {"/**/policy_node": {"ros__parameters": defaults}}
