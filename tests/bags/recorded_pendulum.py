"""Bags of a pendulum that a test makes up, message by message. Needs no ROS."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.bags.bag_writer import BagWriter
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.task.task_spec import TaskSpec, load_task
from sac_ros.task.transition import Transition, pack_with_stamps, unpack

PENDULUM = load_task("inverted_pendulum")
PERIOD_S = PENDULUM.control_period_s
STORE = get_typestore(Stores.ROS2_KILTED)
JOINT_STATE, ARRAY = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
BOOL, STRING = "std_msgs/msg/Bool", "std_msgs/msg/String"


def as_read(stamp_s: float) -> float:
    """Return what a stamp is read back as, in whole nanoseconds."""
    seconds, nanoseconds = _split(stamp_s)
    return float(seconds) + float(nanoseconds) * 1e-9


def _split(stamp_s: float) -> tuple[int, int]:
    return divmod(round(1e9 * stamp_s), 10**9)


@dataclass
class Recording:
    """What a recorder heard: full topic name, type, time of arrival in s, message."""

    messages: list[tuple[str, str, float, object]] = field(default_factory=list)

    def joints(
        self, at_s: float, cart: float, angle: float = 0.0, stamp_s: float | None = None
    ) -> None:
        """Add the joints' state; the stamp is the arrival's time unless another is given."""
        stamp_s = at_s if stamp_s is None else stamp_s
        seconds, nanoseconds = _split(stamp_s)
        stamp = STORE.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        message = STORE.types[JOINT_STATE](
            header=STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=""),
            name=["hinge", "slider"],
            position=np.array([angle, cart]),
            velocity=np.array([0.5, 0.25]),
            effort=np.zeros(2),
        )
        self.messages.append(("/joint_states", JOINT_STATE, at_s, message))

    def command(self, at_s: float, force_n: float) -> None:
        """Add a command."""
        self.array("/joint_commands", at_s, np.array([force_n]))

    def sent(self, at_s: float, transition: Transition) -> None:
        """Add what the node sent of a step."""
        self.array("/policy_node/transitions", at_s, pack_with_stamps(transition))

    def array(self, topic: str, at_s: float, numbers: np.ndarray) -> None:
        """Add a Float64MultiArray."""
        layout = STORE.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
        self.messages.append((topic, ARRAY, at_s, STORE.types[ARRAY](layout=layout, data=numbers)))

    def estopped(self, at_s: float, is_set: bool) -> None:
        """Add the state of the emergency stop."""
        message = STORE.types[BOOL](data=is_set)
        self.messages.append(("/policy_node/estopped", BOOL, at_s, message))

    def contract(self, at_s: float, text: str) -> None:
        """Add the node's contract."""
        message = STORE.types[STRING](data=text)
        self.messages.append(("/policy_node/contract", STRING, at_s, message))

    def write(self, folder: Path) -> Path:
        """Write it as bag_recorder does, and return the folder."""
        writer = BagWriter(folder, "kilted")
        for topic, type_name, at_s, message in self.messages:
            if topic not in writer.topics:
                writer.add_topic(topic, type_name, [])
            content = bytes(STORE.serialize_cdr(message, type_name))
            time_ns = round(1e9 * at_s)
            writer.write(topic, content, received_ns=time_ns, sent_ns=time_ns)
        writer.close()
        return folder

    def write_with_rosbags(self, folder: Path, storage: StoragePlugin) -> Path:
        """Write it as somebody else does, and return the folder."""
        connections = {}
        with Writer(folder, version=9, storage_plugin=storage) as writer:
            for topic, type_name, at_s, message in self.messages:
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, type_name, typestore=STORE)
                content = STORE.serialize_cdr(message, type_name)
                writer.write(connections[topic], round(1e9 * at_s), content)
        return folder


def steady_run(num_commands: int, begin_s: float = 1000.0) -> Recording:
    """Return a run in which the cart's position and the force tell the number of the step."""
    recording = Recording()
    for number in range(num_commands):
        at_s = begin_s + number * PERIOD_S
        recording.joints(at_s, cart=0.01 * number)
        recording.command(at_s + 0.002, force_n=3.0 * (number % 100))
    return recording


def written(folder: Path, task: TaskSpec = PENDULUM) -> list[Transition]:
    """Return the transitions that a folder holds."""
    log = TransitionLog(
        folder,
        obs_dim=task.obs_dim,
        action_dim=task.action_dim,
        task_fingerprint=task.fingerprint,
        capacity=10**9,
    )
    rows = [row for _, part in log.open() for row in part]
    log.close()
    return [unpack(row, task.obs_dim, task.action_dim) for row in rows]
