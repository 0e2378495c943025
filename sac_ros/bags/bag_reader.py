"""Read rosbag2 bags in MCAP or SQLite, complete or cut off by a crash, without ROS."""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
import zstandard
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from sac_ros.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
Deserialize = Callable[[bytes, str], object]
RawMessage = tuple[str, int, int, bytes]
"""Topic, arrival time in ns, publication time in ns, serialised message."""


class BagError(InputError):
    """The bag is missing, damaged, or does not contain the required topics."""


@dataclass(frozen=True)
class RecordedMessage:
    """One message, with the time the recorder received it."""

    topic: str
    """Full name, such as `/robot1/joint_states`."""
    received_ns: int
    sent_ns: int
    """Publication time by the publisher's clock; the arrival time if it is not recorded."""
    content: object
    """The message: fields as attributes, number arrays as numpy arrays."""


class Bag:
    """An open bag; `topics` maps each full topic name to its type."""

    def __init__(
        self,
        path: Path,
        topics: dict[str, str],
        duration_s: float,
        is_cut_off: bool,
        raw_messages: Callable[[set[str]], Iterator[RawMessage]],
        deserialize: Deserialize,
    ) -> None:
        self.path = path
        self.topics = topics
        self.duration_s = duration_s
        self.is_cut_off = is_cut_off
        """Whether the recorder was killed; the bag then ends at its last flush."""
        self._raw_messages = raw_messages
        self._deserialize = deserialize

    def messages(self, topics: set[str]) -> Iterator[RecordedMessage]:
        """Yield the topics' messages in the order they were received; raise BagError."""
        try:
            for topic, received_ns, sent_ns, content in self._raw_messages(topics):
                message = self._deserialize(content, self.topics[topic])
                yield RecordedMessage(topic, received_ns, sent_ns, message)
        except _DAMAGE as error:
            raise BagError(
                f"the bag {self.path} is damaged ({_one_line(error)}); try `mcap recover` to save"
                " the rest"
            ) from error


# Exceptions that the libraries raise for damaged data.
_DAMAGE = (
    *(AnyReaderError, ReaderError, SerdeError, McapError),
    *(zstandard.ZstdError, struct.error, ValueError, IndexError, EOFError, AssertionError),
)


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """Open a bag's folder, with or without metadata.yaml, or a single file; raise BagError."""
    if not path.exists():
        raise BagError(f"no bag at {path}; give the bag's folder, or a .mcap or .db3 file")
    sources = _sources(path)
    files = [file for file in sources if file.suffix == ".mcap"]
    if path.is_dir() and sources == [path]:
        files = _in_order(path.glob("*.mcap"))
    is_cut_off = any(_is_cut_off(file) for file in files)
    if is_cut_off or any(_lacks_profile(file) for file in files):
        yield _scanned_bag(path, files, is_cut_off=is_cut_off)
        return
    try:
        with AnyReader(sources, default_typestore=get_typestore(Stores.ROS2_KILTED)) as reader:

            def raw_messages(topics: set[str]) -> Iterator[RawMessage]:
                wanted = [c for c in reader.connections if c.topic in topics]
                if wanted:
                    for connection, received_ns, content in reader.messages(wanted):
                        yield connection.topic, received_ns, received_ns, content

            is_plain = bool(files) and not _has_compressed_messages(path)
            yield Bag(
                path,
                {connection.topic: connection.msgtype for connection in reader.connections},
                1e-9 * reader.duration if reader.message_count else 0.0,
                False,
                # Our MCAP reader also returns publication times.
                partial(_mcap_messages, files) if is_plain else raw_messages,
                reader.deserialize,
            )
    except (AnyReaderError, ReaderError, OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise BagError(f"cannot read the bag {path}: {_one_line(error)}") from error


def _sources(path: Path) -> list[Path]:
    """Return what to open: the bag itself, or its files where nothing lists them."""
    if not path.is_dir() or (path / "metadata.yaml").is_file():
        return [path]
    files = _in_order([*path.glob("*.mcap"), *path.glob("*.db3")])
    if not files:
        raise BagError(f"no bag in {path}; there is no metadata.yaml, .mcap or .db3 file in it")
    return files


def _in_order(files: Iterable[Path]) -> list[Path]:
    """Sort as rosbag2 numbers, which is without leading zeros: _2 comes before _10."""
    return sorted(files, key=lambda file: (len(file.name), file.name))


def _lacks_profile(file: Path) -> bool:
    """Say whether an MCAP file does not call itself ROS 2's, as mcap's own writer leaves open."""
    try:
        with file.open("rb") as stream:
            return make_reader(stream).get_header().profile == ""
    except _DAMAGE as error:
        raise BagError(f"cannot read {file}: {_one_line(error)}") from error


def _has_compressed_messages(path: Path) -> bool:
    """Return whether rosbag2 compressed the messages or the file."""
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        return False
    information = yaml.safe_load(metadata.read_text())["rosbag2_bagfile_information"]
    return str(information.get("compression_mode") or "none").lower() != "none"


def _mcap_messages(files: list[Path], topics: set[str]) -> Iterator[RawMessage]:
    """Yield the messages of consecutive MCAP files without rosbag2 compression."""
    for file in files:
        with file.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            for _, channel, message in reader.iter_messages(topics=sorted(topics)):
                sent_ns = message.publish_time or message.log_time
                yield channel.topic, message.log_time, sent_ns, message.data


def _is_cut_off(file: Path) -> bool:
    """Return whether an MCAP file has a valid start but no end."""
    try:
        with file.open("rb") as stream:
            begins_well = stream.read(len(MAGIC)) == MAGIC
            stream.seek(-min(len(MAGIC), stream.seek(0, 2)), 2)
            return begins_well and stream.read() != MAGIC
    except OSError as error:
        raise BagError(f"cannot read {file}: {error.strerror}") from error


def _scanned_bag(path: Path, files: list[Path], *, is_cut_off: bool) -> Bag:
    """Return a bag read completely into memory, because without an index it must be scanned."""
    topics: dict[str, str] = {}
    messages: list[RawMessage] = []
    try:
        for file in files:
            _scan(file, topics, messages)
    except _DAMAGE as error:
        raise BagError(
            f"the bag {path} is damaged ({_one_line(error)}); try `mcap recover` to save the rest"
        ) from error
    messages.sort(key=lambda message: message[1])
    duration_s = 1e-9 * (messages[-1][1] - messages[0][1]) if messages else 0.0

    def raw_messages(wanted: set[str]) -> Iterator[RawMessage]:
        return (message for message in messages if message[0] in wanted)

    types = get_typestore(Stores.ROS2_KILTED)
    return Bag(path, topics, duration_s, is_cut_off, raw_messages, types.deserialize_cdr)


def _scan(file: Path, topics: dict[str, str], messages: list[RawMessage]) -> None:
    """Add the topics and messages of a file, up to where it is cut off."""
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
                    sent_ns = record.publish_time or record.log_time
                    topic = channels[record.channel_id]
                    messages.append((topic, record.log_time, sent_ns, record.data))
        except _DAMAGE:
            if stream.tell() < size:
                raise  # damaged before the end, not only cut off


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
