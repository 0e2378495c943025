"""What is known of the policies made for a robot outlasts every kill, and stays small."""

import os
from pathlib import Path

import pytest
from full_disk import files_limited_to

from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.sac.on_robot.ledger_records import PolicyRecord
from sac_ros.sac.on_robot.policy_ledger import LEDGER, PolicyLedger, RobotFolderError


def filled(folder: Path, num_versions: int) -> PolicyLedger:
    ledger = PolicyLedger(folder)
    for version in range(num_versions + 1):
        ledger.add(PolicyRecord(version=version, contract_sha256=f"digest {version}"))
        ledger.hear(PolicyStatus(version=version, good_version=min(version, 3)))
    return ledger


def test_everything_is_read_back(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 5)
    ledger.go_back(3, "it fell", PolicyStatus(session=8, version=3, good_version=3))
    ledger.note_return(3, 12.5, ledger.content.best)
    assert PolicyLedger(tmp_path).content == ledger.content
    assert ledger.content.paused == "it fell"
    assert [r.verdict for r in ledger.content.policies if r.version > 3] == ["bad", "bad"]


@pytest.mark.parametrize("num_versions", [30, 300])
def test_ledger_keeps_what_matters_and_never_grows_beyond_a_page(
    tmp_path: Path, num_versions: int
) -> None:
    ledger = filled(tmp_path, num_versions)
    for _ in range(50):
        ledger.note_return(3, 1.0, ledger.content.best)
    versions = {record.version for record in ledger.content.policies}
    assert {0, 3, num_versions} <= versions and len(versions) <= 12
    assert (tmp_path / LEDGER).stat().st_size < 20_000


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_kill_in_the_midst_of_a_change_leaves_the_ledger_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    ledger = filled(tmp_path, 3)
    before = ledger.content

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, die)
    with pytest.raises(KeyboardInterrupt):
        ledger.go_back(1, "it fell")
    monkeypatch.undo()
    assert PolicyLedger(tmp_path).content == before


def test_decision_holds_in_this_process_where_the_disk_is_full(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 3)
    with files_limited_to(0), pytest.raises(RobotFolderError, match="make room"):
        ledger.update(paused="asked to")
    assert ledger.content.paused == "asked to"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"ledger": {}, "sha256": ""}']
)
def test_damaged_ledger_is_begun_anew_above_every_version_that_left_a_file(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "00000041.onnx").touch()
    (tmp_path / LEDGER).write_bytes(content)
    assert PolicyLedger(tmp_path).content.newest_version == 41
    assert "begun anew" in caplog.text


def test_version_of_a_release_without_a_ledger_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("17\n")
    assert PolicyLedger(tmp_path).content.newest_version == 17


def test_old_node_that_counts_rollbacks_anew_is_believed(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 3)
    ledger.go_back(1, "it fell", PolicyStatus(version=1, good_version=1, num_rollbacks=1))
    ledger.hear(PolicyStatus(version=1, good_version=1, num_rollbacks=1))
    assert ledger.content.taken_up == ledger.content.heard
    ledger.hear(PolicyStatus(version=0, good_version=0))
    ledger.hear(PolicyStatus(version=0, good_version=0, num_rollbacks=1))
    assert ledger.content.taken_up != ledger.content.heard
