"""Write a rosbag2 bag in MCAP, as `ros2 bag record` does, without rosbag2. Needs no ROS.

The folder can be read at any moment: `flush` ends a chunk and renews metadata.yaml. After `kill -9`
the file holds everything up to the last flush, but not its index: `sac-ros bag-to-buffer` reads it
as it is, and `mcap recover` makes it whole for other tools.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import yaml
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.errors import InputError

BAG_VERSION = 9
"""Of metadata.yaml, as Jazzy and later write it."""
CHUNK_BYTES = 1024 * 1024
INFINITE = {"sec": 9223372036, "nsec": 854775807}
"""What rosbag2 writes for a duration without end."""


class BagWriteError(InputError):
    """The bag cannot be written."""


@dataclass(frozen=True, kw_only=True)
class OfferedQos:
    """What a publisher offers, in rosbag2's words."""

    reliability: Literal["reliable", "best_effort"]
    durability: Literal["volatile", "transient_local"]


@dataclass
class _Topic:
    type_name: str
    type_hash: str
    qos: list[dict[str, object]]
    channel: int
    num_messages: int = 0


class BagWriter:
    """One bag: a folder with one MCAP file and metadata.yaml."""

    def __init__(self, folder: Path, ros_distro: str) -> None:
        """Make the folder, which must not exist; raise BagWriteError."""
        self.folder = folder
        self.num_messages = 0
        self._ros_distro = ros_distro
        self._types = get_typestore(Stores.ROS2_KILTED)
        self._schemas: dict[str, int] = {}
        self._topics: dict[str, _Topic] = {}
        self._first_ns, self._last_ns = 2**63 - 1, 0
        self._path = folder / f"{folder.name}_0.mcap"
        try:
            folder.mkdir(parents=True)
            self._file: BinaryIO = self._path.open("xb")
            self._writer = Writer(
                self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD
            )
            self._writer.start(profile="ros2", library="sac_ros")
            self._write_metadata()
        except OSError as error:
            raise self._refusal(error) from error

    def add_topic(self, topic: str, type_name: str, offered: list[OfferedQos]) -> None:
        """Announce a topic by its full name, with its type and its publishers' QoS."""
        definition, _ = self._types.generate_msgdef(type_name, ros_version=2)
        type_hash = self._types.hash_rihs01(type_name)
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(
                name=type_name, encoding="ros2msg", data=definition.encode()
            )
        qos = [_qos_mapping(profile) for profile in offered]
        channel = self._writer.register_channel(
            topic=topic,
            message_encoding="cdr",
            schema_id=self._schemas[type_name],
            metadata={
                "offered_qos_profiles": yaml.safe_dump(qos, sort_keys=False) if qos else "",
                "topic_type_hash": type_hash,
            },
        )
        self._topics[topic] = _Topic(type_name, type_hash, qos, channel)

    @property
    def topics(self) -> list[str]:
        """Full names of the topics announced so far."""
        return list(self._topics)

    def write(self, topic: str, content: bytes, *, received_ns: int, sent_ns: int) -> None:
        """Add one serialised message (CDR), with its times since the epoch."""
        entry = self._topics[topic]
        try:
            self._writer.add_message(
                entry.channel, log_time=received_ns, data=content, publish_time=sent_ns
            )
        except OSError as error:
            raise self._refusal(error) from error
        entry.num_messages += 1
        self.num_messages += 1
        self._first_ns = min(self._first_ns, received_ns)
        self._last_ns = max(self._last_ns, received_ns)

    def flush(self) -> None:
        """Bring everything so far out of this process; raise BagWriteError."""
        try:
            self._writer.flush()
            self._write_metadata()
        except OSError as error:
            raise self._refusal(error) from error

    def close(self) -> None:
        """Finish the file with its index; raise BagWriteError."""
        try:
            self._writer.flush()
            self._writer.add_metadata(
                "rosbag2", {"serialized_metadata": yaml.safe_dump(self._metadata())}
            )
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._write_metadata()
        except OSError as error:
            raise self._refusal(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave the file as it is, without an index if it has none: there may be no room for it."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write_metadata(self) -> None:
        draft = self.folder / "metadata.yaml.part"
        content = {"rosbag2_bagfile_information": self._metadata()}
        draft.write_text(yaml.safe_dump(content, sort_keys=False))
        draft.replace(self.folder / "metadata.yaml")

    def _metadata(self) -> dict[str, object]:
        """Return what rosbag2 keeps about a bag."""
        started_ns = self._first_ns if self.num_messages else 0
        span = {
            "starting_time": {"nanoseconds_since_epoch": started_ns},
            "duration": {"nanoseconds": max(0, self._last_ns - started_ns)},
            "message_count": self.num_messages,
        }
        return {
            "version": BAG_VERSION,
            "storage_identifier": "mcap",
            "relative_file_paths": [self._path.name],
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": topic.num_messages,
                }
                for name, topic in self._topics.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": self._path.name, **span}],
            "custom_data": None,
            "ros_distro": self._ros_distro,
        }

    def _refusal(self, error: OSError) -> BagWriteError:
        return BagWriteError(
            f"cannot write the bag {self.folder} ({error.strerror}); give a folder that can be"
            " written, with room"
        )


def _qos_mapping(offered: OfferedQos) -> dict[str, object]:
    # History is not told across DDS; rosbag2 writes the same words then.
    return {
        "history": "unknown",
        "depth": 0,
        "reliability": offered.reliability,
        "durability": offered.durability,
        "deadline": dict(INFINITE),
        "lifespan": dict(INFINITE),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(INFINITE),
        "avoid_ros_namespace_conventions": False,
    }
