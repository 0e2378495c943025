"""Parameters, topics and services of every node, from the code that declares them."""

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import yaml
from markdown_table import code, table
from source_reader import DocumentationError, module_tree, root, text_constant

NODES = {
    "policy_node": "sac_ros.nodes.control.policy_parameters",
    "learner_node": "sac_ros.nodes.learning.learner_parameters",
    "bag_recorder": "sac_ros.nodes.recorders.bag_recorder",
    "episode_recorder": "sac_ros.nodes.recorders.episode_recorder",
    "sim_robot_node": "sim_training.robot_node.sim_robot_node",
}
"""Node executables, each with the module that holds its table of parameters."""

ROS_TYPES = {str: "string", bool: "bool", int: "integer", float: "double"}

CALLS = {
    "publisher": "publishes",
    "lifecycle_publisher": "publishes while active",
    "subscription": "subscribes",
    "service": "serves",
    "client": "calls",
    "_listen": "records",
}
"""Calls that make a topic or a service: `node.create_NAME`, or `resources.NAME`."""


def parameter_reference() -> str:
    """Return a table of parameters for each node."""
    parts = []
    for node, module in NODES.items():
        rows = [
            (
                code(row.name),
                f"{ROS_TYPES[type(row.default)]}{_range(row.bounds)}",
                code(_default(row.default)),
                row.description,
            )
            for row in declared_parameters(module)
        ]
        header = ("parameter", "type and range", "default", "meaning")
        parts.append(f"## `{node}`\n\n{table(header, rows)}")
    return "\n".join(parts)


def declared_parameters(module: str) -> tuple:  # type: ignore[type-arg]  # of the node's own class
    """Return the rows of a node's table; what is not installed is replaced while it is read."""
    from sphinx.ext.autodoc.mock import mock  # here, so that the rest needs no Sphinx

    with mock([name for name in _NEEDED_BY_NODES if importlib.util.find_spec(name) is None]):
        return tuple(importlib.import_module(module).PARAMETERS)


_NEEDED_BY_NODES = (
    "rclpy", "rcl_interfaces", "builtin_interfaces", "diagnostic_msgs", "geometry_msgs",
    "lifecycle_msgs", "nav_msgs", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs",
    "trajectory_msgs", "torch", "mujoco", "gymnasium", "onnxruntime", "mcap", "rosbags",
)  # fmt: skip


def interface_reference() -> str:
    """Return a table of topics and services for each node; raise where code and table differ."""
    documented = documented_interfaces()
    _require_equal(documented, set(declared_interfaces()))
    parts = []
    for node, entries in documented.items():
        rows = [
            (
                code(entry["name"]),
                CALLS[entry["call"].partition(": ")[2].partition("(")[0]],
                f"{code(entry['type'])}<br>{entry.get('qos', 'service')}",
                entry["meaning"],
            )
            for entry in entries
        ]
        header = ("topic or service", "the node", "type and QoS", "meaning")
        parts.append(f"## `{node}`\n\n{table(header, rows)}")
    return "\n".join(parts)


def documented_interfaces() -> dict[str, list[dict[str, str]]]:
    """Return the entries of docs/reference/interfaces.yaml by node."""
    return dict(yaml.safe_load(_interfaces_file().read_text("utf-8")))


def declared_interfaces() -> Iterator[str]:
    """Yield each call that makes a topic or a service, as `file: call(type, name, qos)`."""
    for package in ("sac_ros", "sim_training"):
        for path in sorted((root() / package).rglob("*.py")):
            if path.stem == "node_resources":
                continue  # passes on the calls of others
            module = ".".join(path.relative_to(root()).with_suffix("").parts)
            for node in ast.walk(module_tree(module)):
                if isinstance(node, ast.Call) and (name := _call_name(node)) and node.args[1:]:
                    yield f"{path.stem}: {name}({_shown_arguments(module, name, node)})"


def _call_name(node: ast.Call) -> str | None:
    """Return the key of CALLS for a call, None for any other."""
    if not isinstance(node.func, ast.Attribute):
        return None
    is_of_resources = ast.unparse(node.func.value) == "resources"
    name = node.func.attr.removeprefix("create_")
    is_known = is_of_resources or name != node.func.attr or name == "_listen"
    return name if is_known and name in CALLS else None


def _shown_arguments(module: str, name: str, node: ast.Call) -> str:
    """Return type, name and QoS of a call; a constant's name is replaced by its text."""
    has_callback = name in ("subscription", "service")
    arguments = [a for index, a in enumerate(node.args[:4]) if not (has_callback and index == 2)]
    shown = [ast.unparse(argument) for argument in arguments[:3]]
    return ", ".join(text_constant(module, text) or text for text in shown)


def _require_equal(documented: dict[str, list[dict[str, str]]], declared: set[str]) -> None:
    named = {entry["call"] for entries in documented.values() for entry in entries}
    if named != declared:
        raise DocumentationError(
            f"docs/reference/interfaces.yaml lacks {sorted(declared - named)} of the code, and has"
            f" {sorted(named - declared)}, which the code lacks"
        )


def _interfaces_file() -> Path:
    return root() / "docs" / "reference" / "interfaces.yaml"


def _range(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f", {bounds[0]:.10g} to {bounds[1]:.10g}"


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"') if isinstance(value, str) else str(value)
