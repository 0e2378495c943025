"""The whole examination: policy, links, values, joints, frames."""

from pathlib import Path

from sac_ros.doctor.finding import Finding
from sac_ros.doctor.joint_checks import check_joints
from sac_ros.doctor.link_checks import check_command, check_sensors
from sac_ros.doctor.recording import Recording
from sac_ros.doctor.value_checks import check_frames, check_values
from sac_ros.errors import InputError
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.training_range import TrainingRange
from sac_ros.task.task_spec import TaskSpec


def examine_policy(path: Path, task: TaskSpec | None) -> tuple[OnnxPolicy | None, Finding]:
    """Load the policy as the node will; return it, or None, with what there is to say of it."""
    try:
        policy = OnnxPolicy.load(path, None if task is None else task.fingerprint)
    except InputError as error:
        refused = Finding(
            check="policy",
            subject=path.name,
            level="error",
            found=str(error),
            advice="the node will refuse it too; the message says what to do",
        )
        return None, refused
    provenance = policy.contract.provenance
    return policy, Finding(
        check="policy",
        subject=path.name,
        level="ok",
        found=f"whole; its golden pairs are reproduced here; {provenance.steps} steps of"
        f" {provenance.algorithm} on {policy.task.name}",
    )


def examine_robot(policy: OnnxPolicy, task: TaskSpec, recording: Recording) -> list[Finding]:
    """Return everything that was looked at, in the order in which one would look."""
    sensors = list(check_sensors(task, recording))
    # Of two contradicting publishers, motion tells nothing.
    contradicted = {finding.subject for finding in sensors if finding.check == "publishers"}
    return [
        *sensors,
        *check_command(task, recording),
        *check_values(task, TrainingRange(policy.contract), recording),
        *check_joints(task, recording, contradicted),
        *check_frames(task, recording),
    ]
