"""Run a policy on a MuJoCo robot: `ros2 launch sac_ros sim.launch.py policy:=FILE`."""

import atexit
import tempfile
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import TaskSpec


def generate_launch_description() -> LaunchDescription:
    """Add the robot to what policy.launch.py starts."""
    policy_launch = PythonLaunchDescriptionSource(str(Path(__file__).with_name("policy.launch.py")))
    return LaunchDescription(
        [
            # Declared before the include, so these defaults override those of policy.launch.py.
            DeclareLaunchArgument("policy", description="Path of the exported policy (.onnx)."),
            DeclareLaunchArgument(
                "task",
                default_value="",
                description="Task name, or path of a task .yaml, for robot and policy. Empty: the"
                " task in the policy file.",
            ),
            DeclareLaunchArgument(
                "act_on",
                default_value="observation",
                choices=["timer", "observation"],
                description="timer: act at a fixed rate; observation: act when an observation"
                " arrives,"
                " so that every command follows its observation as in training.",
            ),
            DeclareLaunchArgument(
                "run",
                default_value="episodes",
                choices=["continuous", "episodes"],
                description="continuous: run until the task terminates; episodes: with a"
                " reset of the"
                " robot before each episode.",
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="true",
                choices=["true", "false", "True", "False"],
                description="Use the simulated time of the robot's /clock, which all robots"
                " of a ROS"
                " domain share.",
            ),
            DeclareLaunchArgument(
                "real_time_factor",
                default_value="1.0",
                description="Simulated seconds per real second, 0.01 to 100. Readings of a"
                " slow robot"
                " look stale: below about 0.3, increase max_age_s in params_file.",
            ),
            DeclareLaunchArgument(
                "seed", default_value="0", description="Seed of the robot's start poses."
            ),
            OpaqueFunction(function=_check_arguments),
            IncludeLaunchDescription(policy_launch),
            Node(
                package="sac_ros",
                executable="sim_robot_node",
                name="sim_robot",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        "task": ParameterValue(LaunchConfiguration("robot_task"), value_type=str),
                        "real_time_factor": ParameterValue(
                            LaunchConfiguration("real_time_factor"), value_type=float
                        ),
                        "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                    }
                ],
                ros_arguments=["--log-level", LaunchConfiguration("log_level")],
                output="screen",
                on_exit=_fail_unless_shutting_down,
            ),
        ]
    )


def _check_arguments(context: LaunchContext) -> list[SetLaunchConfiguration]:
    """Check the arguments before anything starts, and determine the task."""
    for name, number in (("real_time_factor", float), ("seed", int)):
        text = LaunchConfiguration(name).perform(context)
        try:
            number(text)
        except ValueError as error:
            raise InputError(f"{name} is {text!r}, expected {number.__name__}") from error
    task = LaunchConfiguration("task").perform(context)
    if not task:
        policy = Path(LaunchConfiguration("policy").perform(context)).expanduser()
        task = str(_write_task(OnnxPolicy.load(policy).task))
    return [SetLaunchConfiguration("robot_task", task)]


def _write_task(task: TaskSpec) -> Path:
    """Write the task to a temporary file for the robot, removed when the launch ends."""
    folder = tempfile.TemporaryDirectory(prefix="sac_ros_")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "task.yaml"
    path.write_text(yaml.safe_dump(to_mapping(task), sort_keys=False))
    return path


def _fail_unless_shutting_down(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with an exception, because Shutdown would give exit status 0."""
    if not context.is_shutdown:
        raise RuntimeError(
            f"{event.process_name} ended with exit code {event.returncode}; the reason stands above"
        )
