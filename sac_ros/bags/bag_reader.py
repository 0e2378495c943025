"""Read rosbag2 bags, MCAP or SQLite, whole or cut off by a crash. Needs no ROS."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from sac_ros.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
Deserialize = Callable[[bytes, str], object]


class BagError(InputError):
    """The bag is not there, damaged, or does not hold what is asked of it."""


@dataclass(frozen=True)
class RecordedMessage:
    """One message, with the time the recorder received it."""

    topic: str
    """Full name, such as `/robot1/joint_states`."""
    received_ns: int
    content: object
    """As the message class has it: fields as attributes, number arrays as numpy arrays."""


class Bag:
    """An open bag; `topics` are the full names, each with its type."""

    def __init__(
        self,
        path: Path,
        topics: dict[str, str],
        duration_s: float,
        is_cut_off: bool,
        raw_messages: Callable[[set[str]], Iterator[tuple[str, int, bytes]]],
        deserialize: Deserialize,
    ) -> None:
        self.path = path
        self.topics = topics
        self.duration_s = duration_s
        self.is_cut_off = is_cut_off
        """Written by a recorder that was killed; what it had flushed is there."""
        self._raw_messages = raw_messages
        self._deserialize = deserialize

    def messages(self, topics: set[str]) -> Iterator[RecordedMessage]:
        """Yield the topics' messages in the order they were received; raise BagError."""
        try:
            for topic, received_ns, content in self._raw_messages(topics):
                yield RecordedMessage(
                    topic, received_ns, self._deserialize(content, self.topics[topic])
                )
        except _DAMAGE as error:
            raise BagError(
                f"the bag {self.path} is damaged ({_one_line(error)}); `mcap recover` may save the"
                " rest of it"
            ) from error


# What the libraries raise on bytes that are not what they should be.
_DAMAGE = (
    *(AnyReaderError, ReaderError, SerdeError, McapError),
    *(zstandard.ZstdError, struct.error, ValueError, IndexError, EOFError, AssertionError),
)


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Open a bag's folder, or a single .mcap file; raise BagError."""
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    if not path.exists():
        raise BagError(f"no bag at {path}; give the folder that has its metadata.yaml")
    if any(file.suffix == ".mcap" and _is_cut_off(file) for file in files):
        yield _cut_off_bag(path, files)
        return
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:

            def raw_messages(topics: set[str]) -> Iterator[tuple[str, int, bytes]]:
                wanted = [c for c in reader.connections if c.topic in topics]
                if wanted:
                    for connection, received_ns, content in reader.messages(wanted):
                        yield connection.topic, received_ns, content

            yield Bag(
                path,
                {connection.topic: connection.msgtype for connection in reader.connections},
                1e-9 * reader.duration if reader.message_count else 0.0,
                False,
                raw_messages,
                reader.deserialize,
            )
    except (AnyReaderError, ReaderError, OSError, KeyError, TypeError) as error:
        raise BagError(f"cannot read the bag {path}: {_one_line(error)}") from error


def _is_cut_off(file: Path) -> bool:
    """Say whether an MCAP file began well and has no end."""
    try:
        with file.open("rb") as stream:
            begins_well = stream.read(len(MAGIC)) == MAGIC
            stream.seek(-min(len(MAGIC), stream.seek(0, 2)), 2)
            return begins_well and stream.read() != MAGIC
    except OSError as error:
        raise BagError(f"cannot read {file}: {error.strerror}") from error


def _cut_off_bag(path: Path, files: list[Path]) -> Bag:
    """Read all of it now: without an index, nothing else tells what is there."""
    topics: dict[str, str] = {}
    messages: list[tuple[str, int, bytes]] = []
    try:
        for file in files:
            _scan(file, topics, messages)
    except _DAMAGE as error:
        raise BagError(
            f"the bag {path} is damaged ({_one_line(error)}); `mcap recover` may save the rest"
        ) from error
    messages.sort(key=lambda message: message[1])
    duration_s = 1e-9 * (messages[-1][1] - messages[0][1]) if messages else 0.0

    def raw_messages(wanted: set[str]) -> Iterator[tuple[str, int, bytes]]:
        return (message for message in messages if message[0] in wanted)

    types = get_typestore(Stores.ROS2_KILTED)
    return Bag(path, topics, duration_s, True, raw_messages, types.deserialize_cdr)


def _scan(file: Path, topics: dict[str, str], messages: list[tuple[str, int, bytes]]) -> None:
    """Add what a file holds, up to where it breaks off."""
    schemas: dict[int, str] = {}
    channels: dict[int, str] = {}
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            for record in StreamReader(stream, validate_crcs=True).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record.name
                elif isinstance(record, Channel):
                    channels[record.id] = record.topic
                    topics[record.topic] = schemas[record.schema_id]
                elif isinstance(record, Message):
                    messages.append((channels[record.channel_id], record.log_time, record.data))
        except _DAMAGE:
            if stream.tell() < size:
                raise  # not its torn end


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
