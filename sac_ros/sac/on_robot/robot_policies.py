"""The policies made for one robot: numbered, kept on disk, and gone back to.

A version is sent only after its learner, its file and its entry in the ledger are on the disk.
"""

import hashlib
from pathlib import Path

from sac_ros.atomic_write import disk_errors_as, replace_file
from sac_ros.policy.contract import PolicyContract
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate, UpdateHeader
from sac_ros.sac.learners.learner import LearnerState, SACLearner
from sac_ros.sac.on_robot.learner_start import LearnerStart, newest_sound_state
from sac_ros.sac.on_robot.learner_states import LearnerStates
from sac_ros.sac.on_robot.ledger_records import PolicyRecord
from sac_ros.sac.on_robot.policy_ledger import PolicyLedger, RobotFolderError


class RobotPolicies:
    """Ledger, learners (`versions/`) and files (`policies/`) of all versions that still matter."""

    def __init__(self, folder: Path, contract: PolicyContract, keep_policies: int) -> None:
        """Read the ledger of the folder; `keep_policies` newest files stay."""
        self.folder = folder / "policies"
        self.ledger = PolicyLedger(folder)
        self.states = LearnerStates(folder / "versions")
        self._keep_policies = keep_policies
        self._contract = contract
        self._given_policy = 0

    def enter_policy_that_came(self, start: LearnerStart, learner: SACLearner) -> None:
        """Keep the learner of version 0, unless an earlier session has.

        The robot's version 0 is the file it was started with: that of the training, or one that
        this learner made before. Raises CheckpointError or RobotFolderError (full disk).
        """
        digest = _contract_sha256(self._contract)
        self._given_policy = self.ledger.version_of(digest)
        if self.ledger.record(0) is not None and self.states.has(0):
            return
        # A folder of an earlier release has a learner, but not the one it began with.
        is_new = not start.has_own or start.checkpoint is None
        self.states.save(0, learner if is_new else start.first_learner())
        self.ledger.add(PolicyRecord(version=0, contract_sha256=digest))

    def enter(
        self, policy: bytes, learner: SACLearner, robot_steps: int, num_rollbacks: int
    ) -> PolicyUpdate:
        """Give a policy file a version of its own, keep it, and return what to send.

        Raises CheckpointError or RobotFolderError (full disk): no version is given then.
        """
        version = self.ledger.content.newest_version + 1
        with disk_errors_as(RobotFolderError, self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._file(version), policy)
        self.states.save(version, learner)
        digest = _contract_sha256(OnnxPolicy.from_bytes(policy).contract)
        self.ledger.add(PolicyRecord(version=version, contract_sha256=digest))
        self.states.remove_all_but(record.version for record in self.ledger.content.policies)
        for oldest in sorted(self.folder.glob("*.onnx"))[: -self._keep_policies]:
            oldest.unlink(missing_ok=True)
        return self._update(version, policy, robot_steps, num_rollbacks)

    def newest(self, robot_steps: int, num_rollbacks: int) -> PolicyUpdate | None:
        """Return the newest policy again, to be sent; None if there is none, or it was rejected."""
        version = self.ledger.content.newest_version
        record, path = self.ledger.record(version), self._file(version)
        if version == 0 or record is None or record.verdict == "bad" or not path.exists():
            return None
        return self._update(version, path.read_bytes(), robot_steps, num_rollbacks)

    def newest_sound(self) -> tuple[int, LearnerState] | None:
        """Return the newest version that was not rejected and its learner; None if none is left."""
        newest = self.ledger.content.newest_version
        return newest_sound_state(self.ledger, self.states, newest)

    def robots_choice(self, status: PolicyStatus) -> tuple[int, LearnerState] | None:
        """Return the version that the robot went back to, or one before it, and its learner."""
        newest = status.good_version or self._given_policy
        return newest_sound_state(self.ledger, self.states, newest)

    def _update(
        self, version: int, policy: bytes, robot_steps: int, num_rollbacks: int
    ) -> PolicyUpdate:
        header = UpdateHeader(
            version=version,
            num_rollbacks=num_rollbacks,
            robot_steps=robot_steps,
            task_fingerprint=self._contract.task_fingerprint,
            sha256=hashlib.sha256(policy).hexdigest(),
        )
        return PolicyUpdate(header=header, policy=policy)

    def _file(self, version: int) -> Path:
        return self.folder / f"{version:08d}.onnx"


def _contract_sha256(contract: PolicyContract) -> str:
    """Return what tells the policies of one task apart."""
    return hashlib.sha256(contract.to_json().encode()).hexdigest()
