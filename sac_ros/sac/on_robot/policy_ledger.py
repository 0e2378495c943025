"""What a learner remembers about the policies it made: one small file that outlasts any kill.

`ledger.json` names each version that may still matter, how it did, what the robot made of it, and
why learning is paused. It is written whole before anything is done that depends on it.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from sac_ros.atomic_write import disk_errors_as, replace_file
from sac_ros.errors import InputError
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.sac.on_robot.ledger_records import Best, Ledger, PolicyRecord, Rollback
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping

LEDGER = "ledger.json"
NUM_NEWEST: Final = 8
"""Versions that are kept beside those the robot may go back to."""
NUM_BAD: Final = 16
"""Newest rejected versions that are remembered."""
NUM_RETURNS: Final = 8
"""Newest returns that are remembered of a version."""

_log = logging.getLogger(__name__)


class RobotFolderError(InputError):
    """The folder cannot be written to; learning goes on without."""


class PolicyLedger:
    """The ledger of one robot's folder."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; a file that is damaged is reported and begun anew."""
        self._path = folder / LEDGER
        self.content = _read(self._path)
        if self.content == Ledger():
            newest = _newest_version_of_earlier_release(folder)
            self.content = replace(self.content, newest_version=newest)

    def update(self, **changes: object) -> None:
        """Change fields of the ledger, also on disk; raise RobotFolderError (full disk).

        Then the change still holds in this process.
        """
        changed = replace(self.content, **changes)  # type: ignore[arg-type]  # names of fields
        if changed == self.content:
            return
        self.content = changed
        mapping = to_mapping(changed)
        document = {"sha256": _digest(mapping), "ledger": mapping}
        with disk_errors_as(RobotFolderError, self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, f"{json.dumps(document, indent=1)}\n".encode())

    @property
    def has_followed_last_rollback(self) -> bool:
        """Whether the learner went back when the robot did, by the last that was heard of it."""
        return self.content.taken_up == self.content.heard

    @property
    def acknowledged_rollbacks(self) -> int:
        """Rollbacks of the robot's session after which an operator let learning go on."""
        resumed, heard = self.content.resumed, self.content.heard
        return resumed.number if resumed is not None and resumed.session == heard.session else 0

    def record(self, version: int) -> PolicyRecord | None:
        """Return what is known of a version; None if that is nothing."""
        return next((r for r in self.content.policies if r.version == version), None)

    def version_of(self, contract_sha256: str) -> int:
        """Return the version with this contract; 0, the policy that came, if there is none."""
        matches = (r for r in self.content.policies if r.contract_sha256 == contract_sha256)
        return next((record.version for record in matches), 0)

    def add(self, record: PolicyRecord) -> None:
        """Enter a new version; raise RobotFolderError."""
        self.update(
            newest_version=max(self.content.newest_version, record.version),
            policies=self._kept((*self.content.policies, record)),
        )

    def see_version(self, version: int) -> None:
        """Give no version up to this one again; raise RobotFolderError."""
        self.update(newest_version=max(self.content.newest_version, version))

    def hear(self, status: PolicyStatus) -> None:
        """Take over what the robot says about its policies; raise RobotFolderError."""
        heard = Rollback(session=status.session, number=status.num_rollbacks)
        taken_up = self.content.taken_up
        if taken_up is not None and heard.number < taken_up.number:
            taken_up = None  # a node that counts anew, of a release without session numbers
        self.update(
            newest_version=max(self.content.newest_version, status.newest_version),
            good_version=status.good_version,
            running_version=status.version,
            heard=heard,
            taken_up=taken_up,
            policies=tuple(
                replace(record, verdict="good")
                if record.version == status.good_version and record.version > 0
                else record
                for record in self.content.policies
            ),
        )

    def go_back(self, version: int, reason: str, status: PolicyStatus | None = None) -> None:
        """Enter that the learner became that of an earlier version, and paused.

        `status` is the robot's where its rollback was the reason. Raises RobotFolderError.
        """
        policies = tuple(r for r in self.content.policies if r.version <= version)
        if status is not None:
            later = (r for r in self.content.policies if r.version > version)
            policies += tuple(replace(record, verdict="bad") for record in later)
        self.update(
            policies=policies,
            paused=reason,
            num_returns=self.content.num_returns + 1,
            returned_to=version,
            taken_up=(
                self.content.taken_up
                if status is None
                else Rollback(session=status.session, number=status.num_rollbacks)
            ),
        )

    def note_return(self, version: int, episode_return: float, best: Best) -> None:
        """Enter the return of a version's own episode; raise RobotFolderError."""
        self.update(
            best=best,
            policies=tuple(
                replace(record, returns=(*record.returns, episode_return)[-NUM_RETURNS:])
                if record.version == version
                else record
                for record in self.content.policies
            ),
        )

    def sound_versions(self) -> list[int]:
        """Return the versions that were not rejected, the newest first."""
        return sorted(
            (r.version for r in self.content.policies if r.verdict != "bad"), reverse=True
        )

    def _kept(self, records: Iterable[PolicyRecord]) -> tuple[PolicyRecord, ...]:
        """Return the records that still matter, so that the ledger never grows beyond a page."""
        by_version = {record.version: record for record in records}
        bad = [v for v in sorted(by_version) if by_version[v].verdict == "bad"]
        others = [v for v in sorted(by_version) if by_version[v].verdict != "bad"]
        needed = {0, self.content.good_version, self.content.running_version}
        needed |= {*others[-NUM_NEWEST:], *bad[-NUM_BAD:]}
        return tuple(by_version[version] for version in sorted(by_version) if version in needed)


def _read(path: Path) -> Ledger:
    try:
        document = json.loads(path.read_bytes())
        if document["sha256"] != _digest(document["ledger"]):
            raise ValueError("its sha256 differs from what was written")
        return parse_mapping(document["ledger"], Ledger, str(path))
    except FileNotFoundError:
        return Ledger()
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
        _log.warning(f"{path} cannot be read ({error}); it is begun anew, without earlier versions")
        return Ledger()


def _newest_version_of_earlier_release(folder: Path) -> int:
    """Return the highest version that a folder without a ledger tells of; 0 if it tells none."""
    versions = [0]
    with contextlib.suppress(OSError, ValueError):
        versions.append(int((folder / "version").read_text()))
    for path in (folder / "policies").glob("*.onnx"):
        with contextlib.suppress(ValueError):
            versions.append(int(path.stem))
    return max(versions)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
