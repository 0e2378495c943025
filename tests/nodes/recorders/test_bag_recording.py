"""A live run over DDS, recorded: the bag gives the very transitions that the node sent."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from full_disk import files_limited_to
from linear_policy import BALANCING_GAIN, write_linear_policy
from mcap.reader import make_reader
from recorded_pendulum import JOINT_STATE, STORE, STRING, written
from ros_processes import NodeProcess, Observer, observing
from rosbags.highlevel import AnyReader
from simulated_robot import SimulatedRobot
from std_msgs.msg import Float64MultiArray

from sac_ros.bags.bag_reader import open_bag
from sac_ros.bags.bag_writer import BagWriteError, BagWriter
from sac_ros.command_line import run
from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.nodes.messages.qos_profiles import TRANSITION_QOS
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import Transition

pytestmark = pytest.mark.ros

TASK = replace(load_task("inverted_pendulum"), max_episode_steps=40)
PATIENCE_S = 60.0
# Five seconds at twice real time: on a busy machine DDS takes up to three to connect a recorder.
NUM_STEPS = 260
OWN_TOPICS = {"/joint_states", "/joint_commands", "/policy_node/transitions", "/clock"}


class Scene:
    """A simulated robot, a policy node, a recorder, and somebody who hears the transitions too."""

    def __init__(self, folder: Path, observer: Observer) -> None:
        self.folder, self.observer = folder, observer
        self.heard: list[Transition] = []
        self.policy = write_linear_policy(folder / "policy.onnx", TASK, BALANCING_GAIN)
        self.simulated = SimulatedRobot(folder, TASK, self.policy)
        observer.node.create_subscription(
            Float64MultiArray, "policy_node/transitions", self._on_transition, TRANSITION_QOS
        )

    def recorder(self, folder: Path, *parameters: str) -> NodeProcess:
        log = self.folder / "recorder.log"
        return NodeProcess("bag_recorder", f"folder:={folder}", *parameters, log=log)

    def wait_for_steps(self, number: int) -> None:
        self.observer.wait_until(
            lambda: len(self.heard) >= number, f"{number} transitions", PATIENCE_S
        )

    def record(self, act_on: str, stop: signal.Signals) -> Path:
        """Return the bag of a run in which the recorder is there first, and is stopped last."""
        bags = self.folder / "bags"
        with self.recorder(bags, f"policy:={self.policy}", "max_file_s:=1.0") as recorder:
            self.observer.wait_for_output(recorder, "recording to", PATIENCE_S)
            with self.simulated.running(f"act_on:={act_on}"):
                self.wait_for_steps(NUM_STEPS)
            if stop is signal.SIGKILL:
                self.observer.spin_for(2.5)  # twice the period of its flushes
            status = recorder.stop(stop)
            assert status == (-stop if stop is signal.SIGKILL else 0), recorder.output
        (bag,) = bags.iterdir()
        return bag

    def _on_transition(self, message: Float64MultiArray) -> None:
        self.heard.append(transition_from_message(message, TASK.obs_dim, TASK.action_dim))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with observing() as observer:
        yield Scene(tmp_path, observer)


def converted(bag: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """Convert a bag, in which nothing may differ from what the node sent; return the summary."""
    capsys.readouterr()
    assert run(["bag-to-buffer", str(bag), "--json", "--out", str(out)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["comparison"]["num_different"] == summary["comparison"]["num_close"] == 0
    # Steps that the recorder came too late for, or a busy machine lost, are left out and told.
    assert summary["comparison"]["num_exact"] + summary["not_computed"] == summary["sent"]
    return summary


@pytest.mark.parametrize("act_on", ["observation", pytest.param("timer", marks=pytest.mark.long)])
def test_bag_of_a_live_run_gives_the_transitions_that_the_node_sent(
    scene: Scene, act_on: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = scene.record(act_on, signal.SIGINT)
    summary = converted(bag, scene.folder / "out", capsys)
    assert summary["comparison"]["num_exact"] >= 60
    assert len(list(bag.glob("*.mcap"))) >= 2
    # Not only by the bag's own word: this test has heard the node too.
    heard = {(t.step, t.obs.tobytes()): t for t in scene.heard}
    pairs = [
        (ours, heard[ours.step, ours.obs.tobytes()])
        for ours in written(scene.folder / "out", TASK)
        if (ours.step, ours.obs.tobytes()) in heard
    ]
    assert len(pairs) >= 60
    for ours, sent in pairs:
        np.testing.assert_array_equal(ours.next_obs, sent.next_obs)
        np.testing.assert_array_equal(ours.action, sent.action)
        assert (ours.reward, ours.terminated) == (sent.reward, sent.terminated)


@pytest.mark.distro
def test_standard_readers_find_every_topic_with_type_qos_and_definition(scene: Scene) -> None:
    bag = scene.record("observation", signal.SIGTERM)
    with AnyReader([bag]) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
        assert set(types) >= OWN_TOPICS | {"/policy_node/contract", "/diagnostics"}
        assert types["/joint_states"] == JOINT_STATE
        (states,) = [c for c in reader.connections if c.topic == "/joint_states"]
        assert states.digest == STORE.hash_rihs01(JOINT_STATE)
        (qos,) = states.ext.offered_qos_profiles  # type: ignore[union-attr]
        assert qos.reliability.name == "RELIABLE" and qos.durability.name == "VOLATILE"
        (contract,) = [c for c in reader.connections if c.topic.endswith("contract")]
        assert contract.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"  # type: ignore[union-attr]
        counted = {c.topic: 0 for c in reader.connections}
        for connection, _, content in reader.messages():
            reader.deserialize(content, connection.msgtype)
            counted[connection.topic] += 1
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert metadata["version"] == 9 and metadata["message_count"] == sum(counted.values())
    for entry in metadata["topics_with_message_count"]:
        assert entry["message_count"] == counted[entry["topic_metadata"]["name"]] > 0
    for file in metadata["files"]:
        with (bag / file["path"]).open("rb") as stream:
            found = make_reader(stream).get_summary()
        assert found is not None and found.statistics is not None
        assert found.statistics.message_count == file["message_count"]


def test_recorder_without_a_policy_file_follows_the_contract_of_the_node(scene: Scene) -> None:
    bags = scene.folder / "bags"
    with scene.recorder(bags) as recorder, scene.simulated.running("act_on:=observation"):
        scene.observer.wait_for_output(recorder, "recording ['joint_states']", PATIENCE_S)
        scene.observer.spin_for(5.0)  # until DDS has connected it
        assert recorder.stop(signal.SIGINT) == 0, recorder.output
    (bag,) = bags.iterdir()
    with open_bag(bag) as recorded:
        assert set(recorded.topics) >= OWN_TOPICS


@pytest.mark.parametrize("is_killed", [False, True])
def test_bag_in_several_files_is_read_in_order(tmp_path: Path, is_killed: bool) -> None:
    writer = BagWriter(tmp_path / "bag", "kilted", max_file_s=1.0)
    writer.add_topic("/words", STRING, [])
    sent = [f"{number:02d}" for number in range(24)]
    for number, word in enumerate(sent):
        content = STORE.serialize_cdr(STORE.types[STRING](word), STRING)
        at_ns = 10**18 + number * 10**8
        writer.write("/words", bytes(content), received_ns=at_ns, sent_ns=at_ns)
    writer.flush()
    if is_killed:
        writer.abandon()  # as it is then
    else:
        writer.close()
    with open_bag(tmp_path / "bag") as bag:
        assert bag.is_cut_off == is_killed
        assert bag.duration_s == pytest.approx(2.3)
        assert [message.content.data for message in bag.messages({"/words"})] == sent  # type: ignore[attr-defined]
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    files = metadata["rosbag2_bagfile_information"]["files"]
    assert [file["message_count"] for file in files] == [10, 10, 4]
    assert [file["duration"]["nanoseconds"] for file in files] == [9 * 10**8, 9 * 10**8, 3 * 10**8]


@pytest.mark.long
def test_recording_whose_recorder_was_killed_is_still_good(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = scene.record("observation", signal.SIGKILL)
    summary = converted(bag, scene.folder / "out", capsys)
    assert summary["cut_off_bags"] == [str(bag)]
    assert summary["comparison"]["num_exact"] >= 20


def test_folder_that_cannot_be_written_is_refused_in_one_line(scene: Scene) -> None:
    blocked = scene.folder / "file"
    blocked.write_text("")
    with scene.recorder(blocked) as recorder:
        assert recorder.wait(PATIENCE_S) == 2
    (line,) = recorder.output.splitlines()
    assert "cannot write the bag" in line


def test_policy_file_that_is_not_there_is_refused_in_one_line(scene: Scene) -> None:
    with scene.recorder(scene.folder / "bags", "policy:=nowhere.onnx") as recorder:
        assert recorder.wait(PATIENCE_S) == 2
    (line,) = recorder.output.splitlines()
    assert "cannot read policy nowhere.onnx" in line and not (scene.folder / "bags").exists()


def test_full_disk_is_one_error_and_leaves_what_was_written(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", "kilted")
    writer.add_topic("/noise", STRING, [])
    with files_limited_to(100_000):
        with pytest.raises(BagWriteError, match="with free space"):
            for number in range(1000):
                content = b"\0\1\0\0" + os.urandom(1000)  # compresses to no less
                writer.write("/noise", content, received_ns=number, sent_ns=number)
                writer.flush()
        writer.abandon()
    assert 50 < writer.num_messages < 100
    assert (tmp_path / "bag" / "metadata.yaml").exists()
