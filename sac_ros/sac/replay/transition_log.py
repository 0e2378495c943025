"""The transition log: all transitions of a robot on disk, appended as they arrive.

The log is a folder of segments. A segment is a header, one line of JSON, followed by records of
equal size: a packed transition (sac_ros/task/transition.py, float64) and a checksum of it and of
its number. Records are only appended, with one write each. After `kill -9` only the last record
can be incomplete; it is removed when the log is opened again. After a power cut, records since the
last `sync` may be lost or damaged; damaged records are skipped and counted.

Segments of format 2, without session numbers, are still read, and never appended to.

Shapes: n transitions, W = 9 + 2 O + A numbers in a packed one.
"""

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sac_ros.atomic_write import append_or_undo, disk_errors_as
from sac_ros.errors import InputError
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping
from sac_ros.task.transition import Transition, pack, packed_layout, with_session

FORMAT = 3
_FORMAT_WITHOUT_SESSION = 2
RECORDS_PER_SEGMENT = 50_000
_FLOAT_BYTES, _CHECKSUM_BYTES = 8, 4
_MAX_HEADER_BYTES = 4096


class TransitionLogError(InputError):
    """The log belongs to another robot, is in use, or cannot be read or written."""


@dataclass(frozen=True, kw_only=True)
class LogHeader:
    """The first line of every segment."""

    format: int
    obs_dim: int
    action_dim: int
    task_fingerprint: str
    first: int
    """Number of the first transition of this segment, counted since the log began."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An annotation of the transitions first to last, inclusive, added after they were written."""

    first: int
    last: int
    kind: str
    """`bad`: recorded while returns were below the guard's bound. `aborted`: a person ended the
    episode; all its transitions are marked."""
    reason: str


class TransitionLog:
    """All transitions of one robot, over all its runs."""

    def __init__(
        self,
        folder: Path,
        *,
        obs_dim: int,
        action_dim: int,
        task_fingerprint: str,
        capacity: int,
        records_per_segment: int = RECORDS_PER_SEGMENT,
    ) -> None:
        """Set up the log; `open` locks and reads it. At least the newest `capacity` are kept."""
        self.folder = folder
        self.obs_dim, self.action_dim = obs_dim, action_dim
        self.num_added = 0
        """Transitions ever appended, which is also the number of the next one."""
        self.num_damaged = 0
        """Damaged records that `open` skipped."""
        self.marks: list[Mark] = []
        self._task_fingerprint = task_fingerprint
        self._capacity = capacity
        self._records_per_segment = records_per_segment
        self._width = sum(size for _, size in packed_layout(obs_dim, action_dim))
        self._record_bytes = self._width * _FLOAT_BYTES + _CHECKSUM_BYTES
        self._segment: BinaryIO | None = None
        self._segment_first = 0
        self._lock: BinaryIO | None = None

    @property
    def record_bytes(self) -> int:
        """Size of one record on disk in bytes."""
        return self._record_bytes

    def open(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Lock the log; yield its content in blocks: number of the first row, and rows [n, W].

        Read it to the end before the first `append`. Raises TransitionLogError.
        """
        self._take_lock()
        self._read_marks()
        segments = self._segments()
        for index, path in enumerate(segments):
            is_last = index == len(segments) - 1
            yield from self._read_segment(path, is_last)

    def append(self, transition: Transition) -> None:
        """Write one transition; from then on it survives the end of this process.

        Raises TransitionLogError if the disk is full; the log is then unchanged.
        """
        segment = self._segment_for_next()
        with disk_errors_as(TransitionLogError, self.folder):
            append_or_undo(segment, self._encode(self.num_added, pack(transition)))
        self.num_added += 1

    def mark(self, mark: Mark) -> None:
        """Store an annotation on disk; raise TransitionLogError if the disk is full."""
        self.marks.append(mark)
        text = json.dumps(to_mapping(mark))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n"
        with (
            disk_errors_as(TransitionLogError, self._marks_path),
            self._marks_path.open("ab", buffering=0) as file,
        ):
            append_or_undo(file, line.encode())
            os.fsync(file.fileno())

    def sync(self) -> None:
        """Flush everything to the disk, so that it also survives a power cut.

        Raises TransitionLogError if the disk is full.
        """
        if self._segment is None:
            return
        with disk_errors_as(TransitionLogError, self.folder):
            os.fsync(self._segment.fileno())

    def close(self) -> None:
        """Sync the log and release its lock."""
        if self._segment is not None:
            self.sync()
            self._segment.close()
            self._segment = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _marks_path(self) -> Path:
        return self.folder / "marks.jsonl"

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("segment-*.log"))

    def _take_lock(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("wb")
        except OSError as error:
            raise TransitionLogError(
                f"cannot write to {self.folder} ({error.strerror}); choose another folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise TransitionLogError(
                f"another process writes to {self.folder}; stop it, or choose another folder"
            ) from error
        self._lock = lock

    def _read_marks(self) -> None:
        if not self._marks_path.exists():
            return
        for line in self._marks_path.read_bytes().splitlines():
            checksum, _, text = line.decode("utf-8", "replace").partition(" ")
            if f"{zlib.crc32(text.encode()):08x}" != checksum:
                continue  # incomplete after a crash
            with contextlib.suppress(ConfigError):
                self.marks.append(parse_mapping(json.loads(text), Mark, str(self._marks_path)))

    def _read_segment(self, path: Path, is_last: bool) -> Iterator[tuple[int, NDArray[np.float64]]]:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TransitionLogError(f"cannot read {path}: {error.strerror}") from error
        line, newline, body = content.partition(b"\n")
        if not newline and is_last:
            path.unlink()  # a crash interrupted the writing of its header
            return
        header = self._parse_header(path, line)
        self.num_added = max(self.num_added, header.first)
        has_session = header.format == FORMAT
        width = self._width if has_session else self._width - 1
        record_bytes = width * _FLOAT_BYTES + _CHECKSUM_BYTES
        count = len(body) // record_bytes
        if is_last:
            os.truncate(path, len(line) + 1 + count * record_bytes)
        records = np.frombuffer(body, np.uint8, count * record_bytes)
        records = records.reshape(count, record_bytes)
        whole = np.array(
            [self._is_whole(header.first + i, record) for i, record in enumerate(records)], bool
        )
        self.num_damaged += int(count - whole.sum())
        rows = records[:, : width * _FLOAT_BYTES].copy().view(np.float64)
        rows = rows if has_session else with_session(rows)
        for first, last in _runs(whole):
            yield header.first + first, rows[first:last]
        self.num_added = header.first + count
        if is_last and has_session:
            self._segment_first = header.first
            self._segment = path.open("ab", buffering=0)
        elif is_last and count == 0:
            path.unlink()  # the next segment begins at the same number, and has the same name

    def _parse_header(self, path: Path, line: bytes) -> LogHeader:
        try:
            header = parse_mapping(json.loads(line[:_MAX_HEADER_BYTES]), LogHeader, str(path))
        except (ValueError, ConfigError) as error:
            raise TransitionLogError(
                f"{path} is not a transition log: its first line is invalid ({error}); move it away"
            ) from error
        found = (header.format, header.obs_dim, header.action_dim, header.task_fingerprint)
        wanted = (FORMAT, self.obs_dim, self.action_dim, self._task_fingerprint)
        if found not in (wanted, (_FORMAT_WITHOUT_SESSION, *wanted[1:])):
            raise TransitionLogError(
                f"{path} holds transitions of another task or format: (format, obs_dim, action_dim,"
                f" fingerprint) is {found}, expected {wanted}; give this robot a folder of its own"
            )
        return header

    def _segment_for_next(self) -> BinaryIO:
        num_in_segment = self.num_added - self._segment_first
        if self._segment is not None and num_in_segment < self._records_per_segment:
            return self._segment
        if self._segment is not None:
            self.sync()
            self._segment.close()
            self._segment = None
        header = LogHeader(
            format=FORMAT,
            obs_dim=self.obs_dim,
            action_dim=self.action_dim,
            task_fingerprint=self._task_fingerprint,
            first=self.num_added,
        )
        path = self.folder / f"segment-{self.num_added:012d}.log"
        with disk_errors_as(TransitionLogError, path):
            self._segment = _begin_segment(path, json.dumps(to_mapping(header)).encode() + b"\n")
        self._segment_first = self.num_added
        self._forget_oldest()
        return self._segment

    def _forget_oldest(self) -> None:
        """Remove segments that hold none of the newest `capacity` transitions."""
        firsts = [(int(path.stem.partition("-")[2]), path) for path in self._segments()]
        for (_, path), (next_first, _) in pairwise(firsts):
            if next_first <= self.num_added - self._capacity:
                path.unlink()

    def _encode(self, number: int, row: NDArray[np.float64]) -> bytes:
        payload = row.tobytes()
        return payload + _checksum(number, payload)

    def _is_whole(self, number: int, record: NDArray[np.uint8]) -> bool:
        payload, checksum = record[:-_CHECKSUM_BYTES], record[-_CHECKSUM_BYTES:]
        return _checksum(number, payload.tobytes()) == checksum.tobytes()


def _begin_segment(path: Path, header: bytes) -> BinaryIO:
    segment = path.open("ab", buffering=0)
    try:
        append_or_undo(segment, header)
    except OSError:
        segment.close()
        raise
    return segment


def _checksum(number: int, payload: bytes) -> bytes:
    """Return a checksum of four bytes; it includes the number, so misplaced records fail too."""
    return zlib.crc32(payload, number & 0xFFFFFFFF).to_bytes(_CHECKSUM_BYTES, "little")


def _runs(whole: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield start and stop index of each contiguous run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], whole, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
