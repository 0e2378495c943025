"""A file is old or new, and never between the two."""

import os
from pathlib import Path

import pytest
from full_disk import files_limited_to

from sac_ros.atomic_write import replace_file, replace_text


def test_content_and_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    replace_text(tmp_path / "a.csv", "step,return\r\n1,\N{DEGREE SIGN}\n")
    assert (tmp_path / "a.csv").read_bytes() == "step,return\r\n1,\N{DEGREE SIGN}\n".encode()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_at_any_step_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    replace_file(tmp_path / "policy.onnx", b"old")

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output"):
        replace_file(tmp_path / "policy.onnx", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]
    assert (tmp_path / "policy.onnx").read_bytes() == b"old"


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    replace_file(tmp_path / "ledger.json", b"old")
    with files_limited_to(2), pytest.raises(OSError, match="large"):
        replace_file(tmp_path / "ledger.json", b"newer")
    assert (tmp_path / "ledger.json").read_bytes() == b"old"


def test_file_and_then_folder_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, sync = [], os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    replace_file(tmp_path / "version", b"1")
    draft, folder = synced
    assert draft.name.startswith("version.") and folder == tmp_path
