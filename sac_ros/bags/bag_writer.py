"""Write a rosbag2 bag in MCAP, as `ros2 bag record` does, without rosbag2. Needs no ROS.

The folder is readable at any time: `flush` ends a chunk and rewrites metadata.yaml. After `kill -9`
the file has everything up to the last flush, but no index. `sac-ros bag-to-buffer` can read such a
file; for other tools, repair it with `mcap recover`.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import yaml
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.atomic_write import replace_text
from sac_ros.errors import InputError

BAG_VERSION = 9
"""Version of metadata.yaml in Jazzy and later."""
CHUNK_BYTES = 1024 * 1024
INFINITE = {"sec": 9223372036, "nsec": 854775807}
"""The value that rosbag2 writes for an infinite duration."""


class BagWriteError(InputError):
    """The bag cannot be written."""


@dataclass(frozen=True, kw_only=True)
class OfferedQos:
    """The QoS that a publisher offers, with the names that rosbag2 uses."""

    reliability: Literal["reliable", "best_effort"]
    durability: Literal["volatile", "transient_local"]


@dataclass
class _Topic:
    type_name: str
    definition: str
    metadata: dict[str, str]
    qos: list[dict[str, object]]
    num_messages: int = 0


@dataclass
class _Span:
    """Times of the first and last received message, and the number of messages."""

    first_ns: int = 2**63 - 1
    last_ns: int = 0
    num_messages: int = 0

    def add(self, received_ns: int) -> None:
        self.first_ns = min(self.first_ns, received_ns)
        self.last_ns = max(self.last_ns, received_ns)
        self.num_messages += 1

    def metadata(self) -> dict[str, object]:
        """Return the entries of metadata.yaml."""
        started_ns = self.first_ns if self.num_messages else 0
        return {
            "starting_time": {"nanoseconds_since_epoch": started_ns},
            "duration": {"nanoseconds": max(0, self.last_ns - started_ns)},
            "message_count": self.num_messages,
        }


class _McapFile:
    """One MCAP file of a bag."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.span = _Span()
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._file: BinaryIO = path.open("xb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library="sac_ros")

    def add_topic(self, name: str, topic: _Topic) -> None:
        if topic.type_name not in self._schemas:
            self._schemas[topic.type_name] = self._writer.register_schema(
                name=topic.type_name, encoding="ros2msg", data=topic.definition.encode()
            )
        self._channels[name] = self._writer.register_channel(
            topic=name,
            message_encoding="cdr",
            schema_id=self._schemas[topic.type_name],
            metadata=topic.metadata,
        )

    def write(self, topic: str, content: bytes, received_ns: int, sent_ns: int) -> None:
        self._writer.add_message(
            self._channels[topic], log_time=received_ns, data=content, publish_time=sent_ns
        )
        self.span.add(received_ns)

    def flush(self) -> None:
        self._writer.flush()

    def finish(self, metadata: dict[str, object]) -> None:
        """Write the index and the bag's metadata, then close the file."""
        self._writer.flush()
        self._writer.add_metadata("rosbag2", {"serialized_metadata": yaml.safe_dump(metadata)})
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.abandon()

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


class BagWriter:
    """One bag: a folder with consecutive MCAP files and metadata.yaml."""

    def __init__(self, folder: Path, ros_distro: str, *, max_file_s: float = math.inf) -> None:
        """Create the folder, which must not exist; raise BagWriteError.

        After `max_file_s` seconds, a file is finished and the next one started. This also limits
        memory, because the index of an unfinished file is kept in memory.
        """
        self.folder = folder
        self._ros_distro = ros_distro
        self._max_file_s = max_file_s
        self._types = get_typestore(Stores.ROS2_KILTED)
        self._topics: dict[str, _Topic] = {}
        self._finished: list[tuple[Path, _Span]] = []
        self._span = _Span()
        with self._raise_write_errors():
            folder.mkdir(parents=True)
            self._file = self._next_file()
            self._write_metadata()

    def add_topic(self, name: str, type_name: str, offered: list[OfferedQos]) -> None:
        """Announce a topic by its full name, with its type and its publishers' QoS."""
        definition, _ = self._types.generate_msgdef(type_name, ros_version=2)
        qos = [_qos_mapping(profile) for profile in offered]
        self._topics[name] = _Topic(
            type_name,
            definition,
            {
                "offered_qos_profiles": yaml.safe_dump(qos, sort_keys=False) if qos else "",
                "topic_type_hash": self._types.hash_rihs01(type_name),
            },
            qos,
        )
        self._file.add_topic(name, self._topics[name])

    @property
    def topics(self) -> list[str]:
        """Full names of the topics announced so far."""
        return list(self._topics)

    @property
    def num_messages(self) -> int:
        """Number of messages written."""
        return self._span.num_messages

    def write(self, topic: str, content: bytes, *, received_ns: int, sent_ns: int) -> None:
        """Write one serialised message (CDR), with its times since the epoch."""
        with self._raise_write_errors():
            if 1e-9 * (received_ns - self._file.span.first_ns) >= self._max_file_s:
                self._file.finish(self._metadata())
                self._finished.append((self._file.path, self._file.span))
                self._file = self._next_file()
            self._file.write(topic, content, received_ns, sent_ns)
        self._topics[topic].num_messages += 1
        self._span.add(received_ns)

    def flush(self) -> None:
        """Write everything so far to the file; raise BagWriteError."""
        with self._raise_write_errors():
            self._file.flush()
            self._write_metadata()

    def close(self) -> None:
        """Finish the bag with its index; raise BagWriteError."""
        try:
            with self._raise_write_errors():
                self._file.finish(self._metadata())
                self._write_metadata()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without writing an index, for example because the disk is full."""
        self._file.abandon()

    def _next_file(self) -> _McapFile:
        file = _McapFile(self.folder / f"{self.folder.name}_{len(self._finished)}.mcap")
        for name, topic in self._topics.items():
            file.add_topic(name, topic)
        return file

    def _write_metadata(self) -> None:
        content = {"rosbag2_bagfile_information": self._metadata()}
        replace_text(self.folder / "metadata.yaml", yaml.safe_dump(content, sort_keys=False))

    def _metadata(self) -> dict[str, object]:
        """Return the content of metadata.yaml."""
        files = [*self._finished, (self._file.path, self._file.span)]
        return {
            "version": BAG_VERSION,
            "storage_identifier": "mcap",
            "relative_file_paths": [path.name for path, _ in files],
            **self._span.metadata(),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.metadata["topic_type_hash"],
                    },
                    "message_count": topic.num_messages,
                }
                for name, topic in self._topics.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": path.name, **span.metadata()} for path, span in files],
            "custom_data": None,
            "ros_distro": self._ros_distro,
        }

    @contextmanager
    def _raise_write_errors(self) -> Iterator[None]:
        """Convert OSError to BagWriteError."""
        try:
            yield
        except OSError as error:
            raise BagWriteError(
                f"cannot write the bag {self.folder} ({error.strerror}); choose a writable folder"
                " with free space"
            ) from error


def _qos_mapping(offered: OfferedQos) -> dict[str, object]:
    # DDS does not transmit history and depth; rosbag2 writes these values too.
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
