"""The launch files, run by ROS 2's own launch; PyPI has none, so without it they are skipped."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which PyPI does not have")

from balancing_checkpoint import balancing_task, write_balancing_run
from launch import LaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import GetState
from linear_policy import BALANCING_GAIN, write_linear_policy
from ros_processes import Observer, hear_signals, observing
from source_tree import ROOT

from sac_ros.task.task_spec import load_task

pytestmark = pytest.mark.ros

PATIENCE_S = 30.0
POLICY_ARGUMENTS = {
    "policy",
    "task",
    "params_file",
    "act_on",
    "run",
    "use_sim_time",
    "shadow",
    "namespace",
    "autostart",
    "log_level",
    "record",
}
# What `ros2 launch FILE ARGUMENTS...` does with its own arguments.
LAUNCH = """
import sys
from ros2launch.api import launch_a_launch_file
sys.exit(launch_a_launch_file(launch_file_path=sys.argv[1], launch_file_arguments=sys.argv[2:]))
"""


class Launch:
    """A launch file being run; ended, with all its processes, with the `with` block."""

    def __init__(self, file: Path, *arguments: str, log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(file), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=hear_signals,
            )

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self.interrupt()
        print(f"--- {self._log.name}\n{self.output}")

    @property
    def output(self) -> str:
        """Everything that launch and its processes have printed so far."""
        return self._log.read_text()

    def wait(self) -> int:
        """Return the exit status once it ends by itself."""
        return self._process.wait(PATIENCE_S)

    def interrupt(self) -> int:
        """Do what Ctrl-C in a terminal does: a SIGINT for every process; return the exit status."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def process_id(self, program: str) -> int:
        """Return the process id of a program that it has started."""
        found = re.search(rf"\[{program}-\d+\]: process started with pid \[(\d+)\]", self.output)
        assert found is not None, f"no {program} in the log"
        return int(found[1])

    def has_processes(self) -> bool:
        """Say whether anything that it started still runs."""
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture
def observer() -> Iterator[Observer]:
    with observing() as observer:
        yield observer


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy that balances the pendulum."""
    task = load_task("inverted_pendulum")
    return write_linear_policy(tmp_path / "policy.onnx", task, BALANCING_GAIN)


@pytest.fixture(autouse=True)
def ament_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let launch find the sources as an installed package, with or without colcon."""
    prefix = tmp_path / "prefix"
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "sac_ros"
    marker.parent.mkdir(parents=True)
    marker.touch()
    programs = prefix / "lib" / "sac_ros"
    programs.mkdir(parents=True)
    for program in ("policy_node", "learner_node", "sim_robot_node", "bag_recorder"):
        (programs / program).write_text(
            f"#!{sys.executable}\n"
            f"from sac_ros.nodes.process import executables\nexecutables.{program}()\n"
        )
        (programs / program).chmod(0o755)
    prefixes = [str(prefix), os.environ.get("AMENT_PREFIX_PATH") or sys.prefix]
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(prefixes))
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(search))


def launch_file(name: str) -> Path:
    """Return one of our launch files."""
    return ROOT / "launch" / f"{name}.launch.py"


def description(name: str) -> LaunchDescription:
    """Load one of our launch files as launch does."""
    source = PythonLaunchDescriptionSource(str(launch_file(name)))
    return source.try_get_launch_description_without_context()


def state(observer: Observer, node: str) -> int:
    """Return the lifecycle state of a node."""
    response = observer.call(GetState, f"{node}/get_state", GetState.Request())
    return int(response.current_state.id)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("policy", POLICY_ARGUMENTS),
        ("sim", POLICY_ARGUMENTS | {"real_time_factor", "seed"}),
        (
            "finetune",
            POLICY_ARGUMENTS
            | {"real_time_factor", "seed", "simulate"}
            | {"checkpoint", "from_scratch", "config", "out", "key_file", "prior_transitions"},
        ),
    ],
)
def test_every_argument_is_described(name: str, arguments: set[str]) -> None:
    declared = {argument.name: argument for argument in description(name).get_launch_arguments()}

    assert set(declared) == arguments
    for argument in declared.values():
        assert argument.description.endswith((".", "']")), argument.name  # choices come last


def test_sim_launch_brings_robot_and_policy_to_active_and_ctrl_c_ends_all(
    policy: Path, observer: Observer, tmp_path: Path
) -> None:
    with Launch(launch_file("sim"), f"policy:={policy}", log=tmp_path / "log") as launch:
        observer.wait_for_state(State.PRIMARY_STATE_ACTIVE)
        robot = "robot of task 'inverted_pendulum'"
        observer.wait_until(lambda: robot in launch.output, robot)

        assert launch.interrupt() == 0
        assert not launch.has_processes()


def test_finetune_launch_connects_a_simulated_robot_to_its_learner(
    observer: Observer, tmp_path: Path
) -> None:
    task = balancing_task(max_episode_steps=40)
    policy, checkpoint = write_balancing_run(tmp_path, task)
    out = tmp_path / "robot"
    arguments = (
        *(f"policy:={policy}", f"checkpoint:={checkpoint}", f"out:={out}"),
        *("simulate:=true", "real_time_factor:=4.0"),
    )
    with Launch(launch_file("finetune"), *arguments, log=tmp_path / "log") as launch:
        observer.wait_until(
            lambda: (
                (out / "episodes.csv").exists()
                and (out / "episodes.csv").read_text().count("truncated") >= 2
            ),
            "episodes at the learner",
            patience_s=90.0,
        )
        assert observer.node.count_subscribers("learner_node/policy_update") == 1
        assert launch.interrupt() == 0
        assert not launch.has_processes()
    assert (out / "learner" / "manifest.json").exists()


def test_a_launch_records_a_bag_if_asked(policy: Path, observer: Observer, tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    arguments = (f"policy:={policy}", f"record:={bags}")
    with Launch(launch_file("sim"), *arguments, log=tmp_path / "log") as launch:
        robot = "recording ['joint_states'] and 'joint_commands'"
        observer.wait_until(lambda: robot in launch.output, robot)
        observer.wait_for_state(State.PRIMARY_STATE_ACTIVE)
        assert launch.interrupt() == 0
    assert "messages on" in launch.output
    assert list(bags.glob("*/metadata.yaml"))


@pytest.mark.parametrize("name", ["policy", "sim"])
def test_a_policy_that_does_not_exist_fails_the_launch(name: str, tmp_path: Path) -> None:
    with Launch(launch_file(name), "policy:=missing.onnx", log=tmp_path / "log") as launch:
        assert launch.wait() != 0
        assert "cannot read policy missing.onnx" in launch.output
        assert not launch.has_processes()


def test_a_policy_for_another_task_fails_the_launch(policy: Path, tmp_path: Path) -> None:
    arguments = (f"policy:={policy}", "task:=hopper")
    with Launch(launch_file("policy"), *arguments, log=tmp_path / "log") as launch:
        assert launch.wait() != 0
        assert "exported for task 'inverted_pendulum'" in launch.output


@pytest.mark.parametrize("program", ["policy_node", "sim_robot_node"])
def test_the_launch_fails_when_a_node_dies(
    program: str, policy: Path, observer: Observer, tmp_path: Path
) -> None:
    with Launch(launch_file("sim"), f"policy:={policy}", log=tmp_path / "log") as launch:
        observer.wait_for_state(State.PRIMARY_STATE_ACTIVE)

        os.kill(launch.process_id(program), signal.SIGKILL)

        assert launch.wait() != 0
        assert not launch.has_processes()


@pytest.mark.parametrize(
    "argument", ["params_file:=missing.yaml", "act_on:=whenever", "use_sim_time:=perhaps"]
)
def test_an_argument_that_cannot_be_right_is_refused_by_name(
    argument: str, policy: Path, tmp_path: Path
) -> None:
    arguments = (f"policy:={policy}", argument)
    with Launch(launch_file("policy"), *arguments, log=tmp_path / "log") as launch:
        assert launch.wait() != 0
        assert argument.partition(":=")[0] in launch.output
        assert "process started" not in launch.output


def test_a_number_that_is_none_is_refused_by_name(policy: Path, tmp_path: Path) -> None:
    arguments = (f"policy:={policy}", "real_time_factor:=fast")
    with Launch(launch_file("sim"), *arguments, log=tmp_path / "log") as launch:
        assert launch.wait() != 0
        assert "real_time_factor is 'fast'" in launch.output
        assert "process started" not in launch.output


def test_without_autostart_the_node_waits_and_may_fail(
    policy: Path, observer: Observer, tmp_path: Path
) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/**/policy_node:\n  ros__parameters: {policy: missing.onnx}\n")
    arguments = (f"params_file:={parameters}", "autostart:=false")
    with Launch(launch_file("policy"), *arguments, log=tmp_path / "log") as launch:
        assert observer.state() == State.PRIMARY_STATE_UNCONFIGURED

        assert not observer.change_state(Transition.TRANSITION_CONFIGURE)
        reason = "cannot read policy missing.onnx"
        observer.wait_until(lambda: reason in launch.output, reason)
        assert observer.state() == State.PRIMARY_STATE_UNCONFIGURED

        assert launch.interrupt() == 0


@pytest.mark.parametrize(
    ("arguments", "act_on"), [((), "observation"), (("act_on:=timer",), "timer")]
)
def test_an_argument_wins_over_the_parameter_file_and_an_empty_one_leaves_it(
    arguments: tuple[str, ...], act_on: str, policy: Path, observer: Observer, tmp_path: Path
) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        f"/**/policy_node:\n  ros__parameters: {{policy: {policy}, act_on: observation}}\n"
    )
    arguments = (f"params_file:={parameters}", *arguments)
    with Launch(launch_file("policy"), *arguments, log=tmp_path / "log") as launch:
        observer.wait_until(lambda: f"acting on {act_on}" in launch.output, "its choice")


def test_namespaced_and_remapped_from_a_group_of_another_launch_file(
    policy: Path, observer: Observer, tmp_path: Path
) -> None:
    outer = tmp_path / "outer.launch.py"
    # A group forgets its launch configurations before the node's first transition.
    outer.write_text(
        "from launch import LaunchDescription\n"
        "from launch.actions import GroupAction, IncludeLaunchDescription\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "from launch_ros.actions import SetRemap\n"
        "def generate_launch_description():\n"
        f"    source = PythonLaunchDescriptionSource({str(launch_file('policy'))!r})\n"
        f"    arguments = {{'policy': {str(policy)!r}, 'namespace': 'robot1'}}\n"
        "    include = IncludeLaunchDescription(source, launch_arguments=arguments.items())\n"
        "    remap = SetRemap('joint_commands', 'arm/commands')\n"
        "    return LaunchDescription([GroupAction([remap, include])])\n"
    )
    with Launch(outer, log=tmp_path / "log") as launch:
        observer.wait_until(
            lambda: state(observer, "robot1/policy_node") == State.PRIMARY_STATE_ACTIVE,
            "the node to be active",
        )
        observer.wait_until(
            lambda: observer.node.count_publishers("robot1/arm/commands") == 1, "its command topic"
        )
        assert launch.interrupt() == 0
