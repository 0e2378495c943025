"""`sac-ros doctor` on a robot over DDS, and on a bag."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from moving_arm import ARM, arm_policy, record_arm
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from source_tree import ROOT

DOCTOR = "import sys; from sac_ros.command_line import main; main()"


def doctor(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DOCTOR, "doctor", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )


def findings(process: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Return the subjects of each check that found something."""
    report = json.loads(process.stdout)
    found: dict[str, list[str]] = {}
    for finding in report["findings"]:
        if finding["level"] != "ok":
            found.setdefault(finding["check"], []).append(finding["subject"])
    assert report["healthy"] == (not found) == (process.returncode == 0)
    return found


def write_bag(path: Path, storage: StoragePlugin, elbow_sign: float = 1.0) -> Path:
    """Write the moving arm's joint states and commands as rosbag2."""
    store = get_typestore(Stores.ROS2_KILTED)
    state_type, array_type = (
        store.types["sensor_msgs/msg/JointState"],
        "std_msgs/msg/Float64MultiArray",
    )
    header, stamp = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
    layout = store.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    recording = record_arm()
    with Writer(path, version=9, storage_plugin=storage) as writer:
        states = writer.add_connection("/joint_states", state_type.__msgtype__, typestore=store)
        commands = writer.add_connection("/joint_commands", array_type, typestore=store)
        for state, command in zip(
            recording.topics["joint_states"].samples,
            recording.topics["joint_commands"].samples,
            strict=True,
        ):
            m, time_ns = state.message, int(1e9 * state.arrival_s)
            sign = np.array([1.0, elbow_sign])
            message = state_type(
                header=header(
                    stamp=stamp(sec=m.header.stamp.sec, nanosec=m.header.stamp.nanosec), frame_id=""
                ),
                name=m.name,
                position=sign * m.position,
                velocity=sign * m.velocity,
                effort=np.zeros(2),
            )
            writer.write(states, time_ns, store.serialize_cdr(message, state_type.__msgtype__))
            array = store.types[array_type](layout=layout, data=np.array(command.message.data))
            writer.write(commands, time_ns, store.serialize_cdr(array, array_type))
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_bag_of_a_healthy_robot_gets_a_clean_bill(tmp_path: Path, storage: StoragePlugin) -> None:
    process = doctor(arm_policy(tmp_path), "--bag", write_bag(tmp_path / "bag", storage))
    assert process.returncode == 0, process.stdout + process.stderr
    assert "nothing wrong was found" in process.stdout


def test_bag_with_a_flipped_joint_names_it(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, elbow_sign=-1.0)
    found = findings(doctor(arm_policy(tmp_path), "--bag", bag, "--json"))
    assert found["position and command"] == ["elbow"]
    assert "joint_angles: elbow" in found["range"]


def test_bag_of_a_killed_recorder_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP)
    whole = next(bag.glob("*.mcap")).read_bytes()
    killed = tmp_path / "killed.mcap"
    killed.write_bytes(whole[: len(whole) * 6 // 10])
    process = doctor(arm_policy(tmp_path), "--bag", killed)
    assert "cut off" in process.stdout and "Traceback" not in process.stderr
    assert "present, joint_states" in process.stdout


def test_bag_folder_without_metadata_is_read(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP)
    (bag / "metadata.yaml").unlink()
    process = doctor(arm_policy(tmp_path), "--bag", bag)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("topic", ["joint_states", "joint_commands"])
def test_topic_of_another_type_in_a_bag_is_a_finding(tmp_path: Path, topic: str) -> None:
    from rosbags.typesys import get_types_from_msg

    store, other = get_typestore(Stores.ROS2_KILTED), "my_msgs/msg/DynState"
    store.register(get_types_from_msg("string[] joint_names\nfloat64[] interface_values", other))
    message = store.types[other](joint_names=["hip"], interface_values=np.array([0.1]))
    path = tmp_path / "other"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(f"/{topic}", other, typestore=store)
        for step in range(100):
            writer.write(connection, 10_000_000 * step, store.serialize_cdr(message, other))
    found = findings(doctor(arm_policy(tmp_path), "--bag", path, "--json"))
    assert found["type"] == [topic]


def test_topics_of_a_bag_can_be_remapped(tmp_path: Path) -> None:
    bag, policy = write_bag(tmp_path / "bag", StoragePlugin.MCAP), arm_policy(tmp_path)
    away = ("--namespace", "robot1", "--remap", "joint_commands:=/joint_commands")
    assert "present" in findings(doctor(policy, "--bag", bag, "--json", *away))
    back = (*away, "--remap", "joint_states:=/joint_states")
    assert findings(doctor(policy, "--bag", bag, "--json", *back)) == {}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere.onnx",), "no policy at nowhere.onnx"),
        (("POLICY", "--bag", "nowhere"), "no bag at nowhere"),
        (("POLICY", "--remap", "nonsense"), "FROM:=TO"),
        (("POLICY", "--task", "hoper"), "known tasks"),
        (("POLICY", "--seconds", "0"), "0.5 to 3600"),
        (("POLICY", "--second"), "--help"),
        ((), "policy"),
    ],
)
def test_wrong_usage_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    policy = str(arm_policy(tmp_path))
    process = doctor(*(policy if argument == "POLICY" else argument for argument in arguments))
    assert process.returncode == 2 and process.stderr.count("\n") == 1, process.stderr
    assert reason in process.stderr


class LiveArm(threading.Thread):
    """Publishes the recorded arm over DDS, in real time, until it is told to stop."""

    def __init__(self, *, elbow_sign: float = 1.0, best_effort: bool = False) -> None:
        super().__init__(daemon=True)
        self.elbow_sign, self.best_effort = elbow_sign, best_effort
        self.is_over = threading.Event()

    def run(self) -> None:
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray

        from sac_ros.nodes.recorders.embedded_node import EmbeddedNode

        arm = EmbeddedNode("arm")
        node = arm.node
        reliability = (
            ReliabilityPolicy.BEST_EFFORT if self.best_effort else ReliabilityPolicy.RELIABLE
        )
        states = node.create_publisher(
            JointState, "joint_states", QoSProfile(depth=10, reliability=reliability)
        )
        commands = node.create_publisher(Float64MultiArray, "joint_commands", 10)
        node.create_subscription(Float64MultiArray, "joint_commands", lambda m: None, 10)
        if self.best_effort:
            node.create_subscription(JointState, "joint_states", lambda m: None, 10)
        samples = record_arm().topics
        began_s, number = time.monotonic(), 0
        while not self.is_over.wait(max(0.0, began_s + 0.005 * number - time.monotonic())):
            state = samples["joint_states"].samples[number % 800].message
            message = JointState(
                name=state.name,
                position=[state.position[0], self.elbow_sign * state.position[1]],
                velocity=[state.velocity[0], self.elbow_sign * state.velocity[1]],
            )
            message.header.stamp.sec, rest = divmod(5 * number + 1_000_000, 1000)
            message.header.stamp.nanosec = rest * 10**6
            states.publish(message)
            asked = samples["joint_commands"].samples[number % 800].message.data
            commands.publish(Float64MultiArray(data=asked))
            number += 1
        arm.close()


@contextmanager
def live_arm(**faults: float) -> Iterator[None]:
    pytest.importorskip("rclpy")
    arm = LiveArm(**faults)  # type: ignore[arg-type]
    arm.start()
    try:
        yield
    finally:
        arm.is_over.set()
        arm.join(20.0)


# A busy machine pauses now and then; how long is no property of the doctor.
TIMING = {"age", "delay"}


@pytest.mark.distro
@pytest.mark.ros
def test_healthy_robot_over_dds_gets_a_clean_bill(tmp_path: Path) -> None:
    with live_arm():
        found = findings(doctor(arm_policy(tmp_path), "--seconds", 3, "--json"))
    # The test itself commands the arm, which the doctor must see.
    assert found.pop("other commands") == ["joint_commands"]
    assert set(found) <= TIMING, found


@pytest.mark.ros
def test_faults_over_dds_are_named(tmp_path: Path) -> None:
    with live_arm(elbow_sign=-1.0, best_effort=True):
        found = findings(doctor(arm_policy(tmp_path), "--seconds", 3, "--json"))
    assert "joint_angles: elbow" in found["range"]
    assert found["position and command"] == ["elbow"]
    assert found["QoS"] == ["joint_states"]


@pytest.mark.ros
def test_robot_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = doctor(arm_policy(tmp_path), "--seconds", 0.5)
    assert process.returncode == 1
    assert "nobody publishes it" in process.stdout and "nobody listens" in process.stdout
    assert ARM.name in process.stdout
