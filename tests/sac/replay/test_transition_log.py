"""The robot's memory on disk: what was written is there again, whatever ended the writer."""

import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from full_disk import files_limited_to
from source_tree import ROOT
from transition_writer import LOG, numbered

from sac_ros.sac.replay.transition_log import Mark, TransitionLog, TransitionLogError
from sac_ros.task.transition import HEADER, pack

WRITER = ROOT / "tests" / "transition_writer.py"


@contextmanager
def opened(folder: Path, **changes: object) -> Iterator[tuple[TransitionLog, list[int]]]:
    """Give the open log and the numbers of the transitions it holds, each checked."""
    with closing(TransitionLog(folder, **{**LOG, **changes})) as log:  # type: ignore[arg-type]
        numbers: list[int] = []
        for first, rows in log.open():
            for offset, row in enumerate(rows):
                np.testing.assert_array_equal(row, pack(numbered(first + offset)))
            numbers += range(first, first + len(rows))
        yield log, numbers


def numbers_in(folder: Path, **changes: object) -> list[int]:
    with opened(folder, **changes) as (_, numbers):
        return numbers


def write(folder: Path, count: int, **changes: object) -> None:
    with opened(folder, **changes) as (log, _):
        for _ in range(count):
            log.append(numbered(log.num_added))


def test_everything_is_there_again_and_goes_on_over_segments(tmp_path: Path) -> None:
    write(tmp_path, 25, records_per_segment=10)
    write(tmp_path, 25, records_per_segment=10)
    with opened(tmp_path, records_per_segment=10) as (log, numbers):
        assert numbers == list(range(50)) and log.num_added == 50 and log.num_damaged == 0


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, str(WRITER), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        for _ in range(int(rng.integers(1, 2000))):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in process.stdout.read().splitlines() if line]
        process.stdout.close()
        process.wait()
        with opened(tmp_path) as (log, numbers):
            num_added = log.num_added
        # Contiguous from 0, at least what was acknowledged, at most the one in flight beyond it.
        assert numbers == list(range(num_added))
        assert num_added > written
        if acknowledged:
            assert acknowledged[-1] <= num_added <= acknowledged[-1] + 1
        written = num_added


@pytest.mark.parametrize("kept_bytes", [1, 50, 75])
def test_torn_record_is_cut_off_and_its_number_used_again(tmp_path: Path, kept_bytes: int) -> None:
    write(tmp_path, 5)
    (segment,) = tmp_path.glob("segment-*.log")
    record_bytes = TransitionLog(tmp_path, **LOG).record_bytes  # type: ignore[arg-type]
    os.truncate(segment, segment.stat().st_size - record_bytes + kept_bytes)

    with opened(tmp_path) as (log, numbers):
        assert numbers == [0, 1, 2, 3]
        log.append(numbered(4))
    assert numbers_in(tmp_path) == [0, 1, 2, 3, 4]


def test_segment_torn_in_its_first_line_is_begun_again(tmp_path: Path) -> None:
    write(tmp_path, 10, records_per_segment=10)
    (tmp_path / "segment-000000000010.log").write_bytes(b'{"format": 1, "obs')
    write(tmp_path, 3, records_per_segment=10)
    assert numbers_in(tmp_path) == list(range(13))


def test_damaged_record_is_left_out_and_counted_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, 10)
    (segment,) = tmp_path.glob("segment-*.log")
    content = bytearray(segment.read_bytes())
    record_bytes = TransitionLog(tmp_path, **LOG).record_bytes  # type: ignore[arg-type]
    content[-4 * record_bytes + 20] ^= 0x10  # in transition 6
    segment.write_bytes(content)

    with opened(tmp_path) as (log, numbers):
        assert numbers == [0, 1, 2, 3, 4, 5, 7, 8, 9]
        assert log.num_damaged == 1 and log.num_added == 10


def test_records_at_each_others_place_are_damaged(tmp_path: Path) -> None:
    write(tmp_path, 4)
    (segment,) = tmp_path.glob("segment-*.log")
    content = segment.read_bytes()
    size = TransitionLog(tmp_path, **LOG).record_bytes  # type: ignore[arg-type]
    segment.write_bytes(content[: -2 * size] + content[-size:] + content[-2 * size : -size])
    assert numbers_in(tmp_path) == [0, 1]


@pytest.mark.parametrize("num_before", [10, 15])
@pytest.mark.parametrize("size", [0, 40])
def test_full_disk_costs_what_came_meanwhile_and_nothing_else(
    tmp_path: Path, num_before: int, size: int
) -> None:
    # Ten fill a segment: the disk is full at the beginning of one, or in its midst.
    with opened(tmp_path, records_per_segment=10) as (log, _):
        for _ in range(num_before):
            log.append(numbered(log.num_added))
        with files_limited_to(size):
            for _ in range(3):
                with pytest.raises(TransitionLogError, match="make room"):
                    log.append(numbered(log.num_added))
            with pytest.raises(TransitionLogError, match="make room"):
                log.mark(Mark(first=0, last=1, kind="bad", reason="lost"))
        log.append(numbered(log.num_added))
        log.mark(Mark(first=0, last=2, kind="bad", reason="kept"))
    with opened(tmp_path, records_per_segment=10) as (log, numbers):
        assert numbers == list(range(num_before + 1)) and log.num_damaged == 0
        assert [mark.reason for mark in log.marks] == ["kept"]


def test_oldest_segments_give_way(tmp_path: Path) -> None:
    write(tmp_path, 100, records_per_segment=10, capacity=25)
    assert numbers_in(tmp_path, records_per_segment=10, capacity=25) == list(range(60, 100))


def test_marks_survive_and_a_torn_one_is_left_out(tmp_path: Path) -> None:
    mark = Mark(first=3, last=9, kind="bad", reason="return 12.5 below 80.0")
    with opened(tmp_path) as (log, _):
        log.mark(mark)
    with (tmp_path / "marks.jsonl").open("ab") as file:
        file.write(b'deadbeef {"first": 1')
    with opened(tmp_path) as (log, _):
        assert log.marks == [mark]


def test_other_tasks_log_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(TransitionLogError, match="a folder of its own"):
        numbers_in(tmp_path, task_fingerprint="another robot")


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(TransitionLogError, match="another process"):
        numbers_in(tmp_path)
    assert numbers_in(tmp_path) == []


def as_format_2(segment: Path) -> None:
    """Rewrite a segment as it was written before transitions had a session number."""
    line, _, body = segment.read_bytes().partition(b"\n")
    header = json.loads(line) | {"format": 2}
    at = HEADER.index("session")
    rows = np.frombuffer(body, np.uint8).reshape(-1, 8 * len(pack(numbered(0))) + 4)
    records = b""
    for offset, row in enumerate(rows[:, :-4].copy().view(np.float64)):
        payload = np.delete(row, at).tobytes()
        checksum = zlib.crc32(payload, header["first"] + offset)
        records += payload + checksum.to_bytes(4, "little")
    segment.write_bytes(json.dumps(header).encode() + b"\n" + records)


@pytest.mark.parametrize("count", [0, 7, 10, 25])
@pytest.mark.parametrize("torn_bytes", [0, 13])
def test_log_of_an_earlier_release_is_read_and_goes_on(
    tmp_path: Path, count: int, torn_bytes: int
) -> None:
    write(tmp_path, max(1, count), records_per_segment=10)
    for segment in tmp_path.glob("segment-*.log"):
        as_format_2(segment)
        if count == 0:
            segment.write_bytes(segment.read_bytes().partition(b"\n")[0] + b"\n")
    with segment.open("ab") as file:
        file.write(b"x" * torn_bytes)
    write(tmp_path, 12, records_per_segment=10)
    with opened(tmp_path, records_per_segment=10) as (log, numbers):
        assert numbers == list(range(count + 12)) and log.num_damaged == 0
