"""Run an exported policy on a robot: `ros2 launch sac_ros policy.launch.py policy:=FILE`.

Topics follow `namespace`. To remap them, include this file in a launch file of your own, in a
GroupAction after launch_ros' SetRemap.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

# Launch arguments that are parameters of the node. An empty one leaves the parameter to the file.
PARAMETER_TYPES = {
    "policy": str,
    "task": str,
    "act_on": str,
    "run": str,
    "use_sim_time": bool,
    "shadow": bool,
}
BOOLEANS = ["true", "false", "True", "False"]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the node is created when their values are known."""
    parameter_file = Path(__file__).parents[1] / "config" / "policy_node.yaml"
    as_in_file = "Empty: as params_file says."
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "policy",
                default_value="",
                description=f"Path of the exported policy (.onnx). {as_in_file}",
            ),
            DeclareLaunchArgument(
                "task",
                default_value="",
                description="Expected task of the policy: a task name, or path of a task .yaml."
                f" {as_in_file}",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(parameter_file),
                description="Parameter file of the node. Launch arguments override it.",
            ),
            DeclareLaunchArgument(
                "act_on",
                default_value="",
                choices=["", "timer", "observation"],
                description="timer: act at a fixed rate; observation: act when an observation"
                " arrives."
                f" {as_in_file}",
            ),
            DeclareLaunchArgument(
                "run",
                default_value="",
                choices=["", "continuous", "episodes"],
                description="continuous: run until the task terminates; episodes: with a"
                " reset of the"
                f" robot before each episode. {as_in_file}",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="",
                choices=["", *BOOLEANS],
                description=f"Use simulated time from /clock. {as_in_file}",
            ),
            DeclareLaunchArgument(
                "shadow",
                default_value="",
                choices=["", *BOOLEANS],
                description="Publish the commands as ~/shadow_action instead of sending them"
                " to the robot."
                f" {as_in_file}",
            ),
            DeclareLaunchArgument(
                "namespace",
                default_value="",
                description="Namespace of the node and of all its topics, such as robot1.",
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="true",
                choices=BOOLEANS,
                description="Configure and activate the node. If it cannot be configured, the"
                " launch ends with a non-zero exit status; during an emergency stop, the node stays"
                " inactive and the launch goes on.",
            ),
            DeclareLaunchArgument(
                "log_level",
                default_value="info",
                choices=["debug", "info", "warn", "error", "fatal"],
                description="Minimum severity of log messages.",
            ),
            DeclareLaunchArgument(
                "record",
                default_value="false",
                description="Record an MCAP bag of the node's topics: true, or the folder for bags"
                " (true means the folder bags).",
            ),
            OpaqueFunction(function=_start_policy_node),
            OpaqueFunction(function=_start_recorder),
        ]
    )


def _start_policy_node(
    context: LaunchContext,
) -> list[RegisterEventHandler | LifecycleNode | EmitEvent]:
    """Return the handlers of the node's transitions, then the node."""
    parameter_file = Path(LaunchConfiguration("params_file").perform(context)).expanduser()
    if not parameter_file.is_file():  # launch_ros would ignore a missing file
        raise FileNotFoundError(f"params_file {parameter_file} is not a file")
    node = LifecycleNode(
        package="sac_ros",
        executable="policy_node",
        name="policy_node",
        namespace=LaunchConfiguration("namespace"),
        # SIGTERM ends ros2 launch without ending its nodes: the node then stops the robot itself.
        parameters=[str(parameter_file), {"stop_with_parent": True}, _given_parameters(context)],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        on_exit=_fail_unless_shutting_down,
    )
    # Read now: inside a group, launch configurations no longer exist when an event is handled.
    if not IfCondition(LaunchConfiguration("autostart")).evaluate(context):
        return [node]
    return [*_autostart(node), node, _change_state(node, Transition.TRANSITION_CONFIGURE)]


def _start_recorder(context: LaunchContext) -> list[Node]:
    """Return the recorder, if requested; if it fails, the robot continues without it."""
    record = LaunchConfiguration("record").perform(context)
    if record.lower() in ("false", ""):
        return []
    return [
        Node(
            package="sac_ros",
            executable="bag_recorder",
            name="bag_recorder",
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                {
                    "folder": ParameterValue(
                        "bags" if record.lower() == "true" else record, value_type=str
                    ),
                    "policy": ParameterValue(LaunchConfiguration("policy"), value_type=str),
                }
            ],
            output="screen",
        )
    ]


def _given_parameters(context: LaunchContext) -> dict[str, ParameterValue]:
    """Return the parameters whose launch argument is not empty, converted to their type."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in PARAMETER_TYPES.items()
        if LaunchConfiguration(name).perform(context)
    }


def _autostart(node: LifecycleNode) -> list[RegisterEventHandler]:
    """Return handlers that configure and activate the node once, and end the launch on failure.

    Only this automatic start can end the launch. A failed transition that an operator requests
    later must not stop the robot's drivers, nor must an emergency stop, which refuses activation.
    """
    is_started: list[bool] = []
    reactions = [
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="configuring",
            goal_state="inactive",
            entities=[
                OpaqueFunction(function=lambda context: is_started.append(True)),
                _change_state(node, Transition.TRANSITION_ACTIVATE),
            ],
            # After a manual configure, the operator also activates it.
            handle_once=True,
        ),
        OnStateTransition(
            target_lifecycle_node=node,
            start_state="activating",
            goal_state="inactive",
            entities=[
                LogInfo(
                    msg="policy_node was not activated; the reason stands above. Once it is gone:"
                    " ros2 lifecycle set /policy_node activate (with its namespace)"
                )
            ],
        ),
    ]
    for start_state, goal_state, what in (
        ("configuring", "unconfigured", "could not be configured"),
        (None, "errorprocessing", "had an error in a transition"),
    ):
        reactions.append(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state=start_state,
                goal_state=goal_state,
                entities=[
                    OpaqueFunction(
                        function=_fail_unless_started, args=[is_started, f"policy_node {what}"]
                    )
                ],
            )
        )
    return [RegisterEventHandler(reaction) for reaction in reactions]


def _change_state(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    )


def _fail(context: LaunchContext, what: str) -> None:
    """End the launch with an exception, because Shutdown would give exit status 0."""
    raise RuntimeError(f"{what}; the reason stands above")


def _fail_unless_started(context: LaunchContext, is_started: list[bool], what: str) -> None:
    if not is_started:
        _fail(context, what)


def _fail_unless_shutting_down(event: ProcessExited, context: LaunchContext) -> None:
    if not context.is_shutdown:
        _fail(context, f"{event.process_name} ended with exit code {event.returncode}")
