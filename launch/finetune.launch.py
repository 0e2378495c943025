"""Learn on a robot: `ros2 launch sac_ros finetune.launch.py policy:=FILE checkpoint:=FOLDER`."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

BOOLEANS = ["true", "false", "True", "False"]
LEARNER_PARAMETERS = {
    "policy": str,
    "checkpoint": str,
    "from_scratch": bool,
    "config": str,
    "out": str,
    "key_file": str,
    "prior_transitions": str,
}


def generate_launch_description() -> LaunchDescription:
    """Add the learner to what policy.launch.py, or sim.launch.py, starts."""
    here = Path(__file__)
    parameter_file = here.parents[1] / "config" / "fine_tuning_policy_node.yaml"
    policy_launch, sim_launch = (
        PythonLaunchDescriptionSource(str(here.with_name(name)))
        for name in ("policy.launch.py", "sim.launch.py")
    )
    return LaunchDescription(
        [
            # Declared before the include, so these defaults override those of policy.launch.py.
            DeclareLaunchArgument("policy", description="Path of the exported policy (.onnx)."),
            DeclareLaunchArgument(
                "checkpoint",
                default_value="",
                description="Checkpoint folder of the training run of the policy, such as"
                " runs/hc1/checkpoint. Empty only with from_scratch:=true.",
            ),
            DeclareLaunchArgument(
                "from_scratch",
                default_value="false",
                choices=BOOLEANS,
                description="Learn without a checkpoint, from new networks with layer-normalised"
                " critics.",
            ),
            DeclareLaunchArgument(
                "config",
                default_value="",
                description="YAML file of hyperparameters. Empty: config/fine_tuning.yaml of"
                " the package, or"
                " config/from_scratch.yaml with from_scratch:=true.",
            ),
            DeclareLaunchArgument(
                "out",
                default_value="runs/robot",
                description="Folder for this robot: its transitions, learner, policies and"
                " episodes.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(parameter_file),
                description="Parameter file of the policy node, for example with the guard's"
                " bounds.",
            ),
            DeclareLaunchArgument(
                "run",
                default_value="episodes",
                choices=["continuous", "episodes"],
                description="episodes: with a reset before each episode; continuous: without"
                " resets.",
            ),
            DeclareLaunchArgument(
                "key_file",
                default_value="",
                description="Key file with which the learner signs policies; give the same"
                " key to the"
                " policy node in its params_file.",
            ),
            DeclareLaunchArgument(
                "prior_transitions",
                default_value="",
                description="Folder of transitions, written by sac-ros bag-to-buffer, to use"
                " as prior"
                " data instead of the checkpoint's.",
            ),
            DeclareLaunchArgument(
                "simulate",
                default_value="false",
                choices=BOOLEANS,
                description="Also start a simulated MuJoCo robot, with the arguments of"
                " sim.launch.py.",
            ),
            IncludeLaunchDescription(
                sim_launch,
                # It has no default there, so launch requires it here.
                launch_arguments={"policy": LaunchConfiguration("policy")}.items(),
                condition=IfCondition(LaunchConfiguration("simulate")),
            ),
            IncludeLaunchDescription(
                policy_launch, condition=UnlessCondition(LaunchConfiguration("simulate"))
            ),
            OpaqueFunction(function=_start_learner),
        ]
    )


def _start_learner(context: LaunchContext) -> list[Node]:
    """Return the learner, with the arguments that are not empty as its parameters."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in LEARNER_PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    return [
        Node(
            package="sac_ros",
            executable="learner_node",
            name="learner_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[given],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
            on_exit=_fail_unless_shutting_down,
        )
    ]


def _fail_unless_shutting_down(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with an exception, because Shutdown would give exit status 0."""
    if not context.is_shutdown:
        raise RuntimeError(
            f"{event.process_name} ended with exit code {event.returncode}; the reason stands above"
        )
