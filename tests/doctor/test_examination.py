"""Every fault planted into the simulated arm is named, and a healthy one gets a clean bill."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from moving_arm import ARM, COMMANDS, STATES, arm_policy, endpoint, joint_state, record_arm

from sac_ros.doctor.examination import examine_policy, examine_robot
from sac_ros.doctor.finding import Finding
from sac_ros.doctor.recording import Recording, Sample, TopicRecord
from sac_ros.doctor.value_checks import check_frames
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import Channel, load_task

JOINT_STATE, ARRAY = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"


@pytest.fixture(scope="module")
def healthy() -> Recording:
    return record_arm()


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> OnnxPolicy:
    return OnnxPolicy.load(arm_policy(tmp_path_factory.mktemp("policy")))


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def each_state(change: Callable[[SimpleNamespace, int], None]) -> Callable[[Recording], None]:
    def plant(recording: Recording) -> None:
        for number, sample in enumerate(recording.topics[STATES].samples):
            change(sample.message, number)

    return plant


def no_velocity(message: SimpleNamespace, number: int) -> None:
    message.velocity = []


def nan(message: SimpleNamespace, number: int) -> None:
    if number == 100:
        message.velocity[0] = math.nan


def nothing_but_nan(message: SimpleNamespace, number: int) -> None:
    message.velocity[1] = math.nan


def flip_elbow(message: SimpleNamespace, number: int) -> None:
    message.position[1] *= -1.0
    message.velocity[1] *= -1.0


def flip_elbow_velocity(message: SimpleNamespace, number: int) -> None:
    message.velocity[1] *= -1.0


def swap(message: SimpleNamespace, number: int) -> None:
    message.position.reverse()
    message.velocity.reverse()


def swap_velocities(message: SimpleNamespace, number: int) -> None:
    message.velocity.reverse()


def degrees(message: SimpleNamespace, number: int) -> None:
    message.position[0] = math.degrees(message.position[0])
    message.velocity[0] = math.degrees(message.velocity[0])


def rename(message: SimpleNamespace, number: int) -> None:
    message.name = ["shoulder", "elbow_joint"]


def freeze(message: SimpleNamespace, number: int) -> None:
    message.position, message.velocity = [0.5, -0.5], [0.0, 0.0]


def far_away(message: SimpleNamespace, number: int) -> None:
    message.position[0] += 2.4 if number < 80 else 0.0


def silent(recording: Recording) -> None:
    recording.topics[STATES].samples.clear()


def nobody(recording: Recording) -> None:
    silent(recording)
    recording.topics[STATES].publishers.clear()


def other_type(recording: Recording) -> None:
    silent(recording)
    recording.topics[STATES].publishers[:] = [endpoint("/driver", ARRAY)]


def slow(recording: Recording) -> None:
    recording.topics[STATES].samples[:] = recording.topics[STATES].samples[::6]  # 33 Hz


def gap(recording: Recording) -> None:
    del recording.topics[STATES].samples[300:330]  # 0.15 s


def long_gap_within_age(recording: Recording) -> None:
    del recording.topics[STATES].samples[300:317]  # 0.09 s of the 0.1 s allowed


def same_stamp(recording: Recording) -> None:
    samples = recording.topics[STATES].samples
    samples[100:110] = [replace(sample, stamp_s=samples[99].stamp_s) for sample in samples[100:110]]


def held_up(recording: Recording) -> None:
    samples = recording.topics[STATES].samples
    for index in range(400, len(samples)):
        samples[index] = replace(samples[index], arrival_s=samples[index].arrival_s + 0.15)


def deaf_logger(recording: Recording) -> None:
    recording.topics[STATES].publishers[:] = [endpoint("/driver", JOINT_STATE, is_reliable=False)]
    recording.topics[STATES].subscribers[:] = [endpoint("/logger", JOINT_STATE)]


def no_controller(recording: Recording) -> None:
    recording.topics[COMMANDS].subscribers.clear()


def controller_of_another_type(recording: Recording) -> None:
    recording.topics[COMMANDS].subscribers[:] = [endpoint("/controller", JOINT_STATE)]


def latched_controller(recording: Recording) -> None:
    recording.topics[COMMANDS].subscribers[:] = [endpoint("/controller", ARRAY, is_latched=True)]


def rival(recording: Recording) -> None:
    recording.topics[COMMANDS].publishers[:] = [
        endpoint("/joystick", ARRAY),
        endpoint("/policy_node", ARRAY),
    ]


def test_healthy_robot_gets_a_clean_bill(healthy: Recording, policy: OnnxPolicy) -> None:
    findings = examine_robot(policy, ARM, healthy)
    assert bad(findings) == []
    looked_at = {finding.check for finding in findings}
    assert {
        "present",
        "rate",
        "age",
        "command subscriber",
        "range",
        "velocity and change of its position",
        "position and command",
    } <= looked_at


@pytest.mark.parametrize(
    ("plant", "check", "subject", "words"),
    [
        (nobody, "present", STATES, "nobody publishes"),
        (silent, "present", STATES, "is silent"),
        (other_type, "type", STATES, "/driver publishes"),
        (slow, "rate", STATES, "publish at 50 Hz"),
        (gap, "age", STATES, "fault reaction"),
        (long_gap_within_age, "age", STATES, "0.09"),
        (same_stamp, "order", STATES, "not stamped later"),
        (held_up, "delay", STATES, "longer on their way"),
        (deaf_logger, "QoS", STATES, "/logger will hear nothing"),
        (no_controller, "command subscriber", COMMANDS, "nobody listens"),
        (controller_of_another_type, "command subscriber", COMMANDS, "JointState"),
        (latched_controller, "command subscriber", COMMANDS, "hear nothing"),
        (rival, "other commands", COMMANDS, "/joystick may"),
        (each_state(nan), "finite", "joint_velocities", "NaN"),
        (each_state(nothing_but_nan), "finite", "joint_velocities", "NaN"),
        (each_state(no_velocity), "field", "joint_velocities", "never carries velocity"),
        (each_state(rename), "joint", "elbow", "did you mean 'elbow_joint'"),
        (each_state(freeze), "frozen", "joint_angles", "not one bit"),
        (each_state(far_away), "range", "joint_angles: shoulder", "training saw"),
        (each_state(degrees), "range", "joint_angles: shoulder", "looks like degrees"),
        (each_state(flip_elbow), "range", "joint_angles: elbow", "suspected sign flip of elbow"),
        (each_state(flip_elbow), "position and command", "elbow", "suspected sign flip of elbow"),
        (
            each_state(flip_elbow_velocity),
            "velocity and change of its position",
            "elbow",
            "suspected sign flip of elbow",
        ),
        (
            each_state(swap_velocities),
            "velocity and change of its position",
            "shoulder",
            "suspected permutation",
        ),
        (each_state(swap), "position and command", "shoulder", "suspected permutation"),
    ],
)
def test_planted_fault_is_named(
    healthy: Recording,
    policy: OnnxPolicy,
    plant: Callable[[Recording], None],
    check: str,
    subject: str,
    words: str,
) -> None:
    recording = copy.deepcopy(healthy)
    plant(recording)
    named = bad(examine_robot(policy, ARM, recording))
    hits = [f for f in named if (f.check, f.subject) == (check, subject)]
    assert hits, named
    assert any(words in f"{finding.found} {finding.advice}" for finding in hits), hits
    assert all(finding.advice for finding in named)


def advice_of(recording: Recording, policy: OnnxPolicy, subject: str) -> str:
    findings = bad(examine_robot(policy, ARM, recording))
    return next(f.advice for f in findings if (f.check, f.subject) == ("range", subject))


def with_shoulder_near(recording: Recording, angle: float, swing: float) -> Recording:
    changed = copy.deepcopy(recording)
    for number, sample in enumerate(changed.topics[STATES].samples):
        sample.message.position[0] = angle + swing * math.sin(number / 20)  # type: ignore[attr-defined]
        sample.message.velocity[0] = 0.0  # type: ignore[attr-defined]
    return changed


@pytest.mark.parametrize("angle", [-3.0, 2.4, 3.0, 6.0])
@pytest.mark.parametrize("swing", [0.0, 0.05, 0.3])
def test_pose_that_training_never_saw_is_no_mistaken_unit(
    healthy: Recording, policy: OnnxPolicy, angle: float, swing: float
) -> None:
    recording = with_shoulder_near(healthy, angle, swing)
    advice = advice_of(recording, policy, "joint_angles: shoulder")
    assert advice.startswith("bring the robot to a pose that training knows")


def test_joint_at_rest_far_beyond_any_turn_is_possibly_in_degrees(
    healthy: Recording, policy: OnnxPolicy
) -> None:
    recording = with_shoulder_near(healthy, 45.0, 0.0)
    assert "possibly in degrees" in advice_of(recording, policy, "joint_angles: shoulder")


def test_likely_unit_is_told_with_how_much_of_the_range_it_fills(
    healthy: Recording, policy: OnnxPolicy
) -> None:
    recording = copy.deepcopy(healthy)
    each_state(degrees)(recording)
    assert "% of the trained range" in advice_of(recording, policy, "joint_angles: shoulder")


def test_other_joints_are_checked_if_one_is_missing(healthy: Recording, policy: OnnxPolicy) -> None:
    recording = copy.deepcopy(healthy)
    each_state(rename)(recording)
    each_state(degrees)(recording)
    assert "looks like degrees" in advice_of(recording, policy, "joint_angles: shoulder")
    named = {(f.check, f.subject) for f in bad(examine_robot(policy, ARM, recording))}
    assert ("joint", "elbow") in named


def ghost(names: list[str], publisher: object) -> Callable[[Recording], None]:
    """Add a second publisher that says that all joints are at zero."""

    def plant(recording: Recording) -> None:
        samples = recording.topics[STATES].samples
        both: list[Sample] = []
        for sample in samples:
            assert sample.stamp_s is not None
            zero = np.zeros(len(names))
            message = joint_state(names, zero, zero, sample.stamp_s + 1e-3)
            late = replace(
                sample,
                message=message,
                stamp_s=sample.stamp_s + 1e-3,
                arrival_s=sample.arrival_s + 1e-3,
                publisher=publisher,
            )
            both += [sample, late]
        samples[:] = both

    return plant


@pytest.mark.parametrize(
    ("names", "publisher"),
    [
        (["shoulder", "elbow"], b"ghost"),
        (["elbow", "shoulder"], 0),
        (["shoulder"], 0),
        (["shoulder", "elbow"], 0),  # of a bag, which tells no publishers apart
    ],
)
def test_contradicting_publishers_are_named(
    healthy: Recording, policy: OnnxPolicy, names: list[str], publisher: object
) -> None:
    recording = copy.deepcopy(healthy)
    for sample in recording.topics[STATES].samples:
        sample.message.position[0] += 0.8  # type: ignore[attr-defined]
    ghost(names, publisher)(recording)
    named = bad(examine_robot(policy, ARM, recording))
    hits = [f for f in named if (f.check, f.subject) == ("publishers", STATES)]
    assert len(hits) == 1 and "shoulder" in hits[0].found
    assert not any("degrees" in finding.advice for finding in named)


def test_robot_that_stands_still_gets_a_clean_bill(healthy: Recording, policy: OnnxPolicy) -> None:
    recording = copy.deepcopy(healthy)
    each_state(freeze)(recording)
    recording.topics[COMMANDS].samples.clear()
    findings = examine_robot(policy, ARM, recording)
    assert bad(findings) == []
    assert any("at rest" in finding.found for finding in findings)


def test_bag_tells_nothing_of_listeners(healthy: Recording, policy: OnnxPolicy) -> None:
    recording = replace(copy.deepcopy(healthy), knows_graph=False)
    for record in recording.topics.values():
        record.publishers.clear()
        record.subscribers.clear()
    findings = examine_robot(policy, ARM, recording)
    assert bad(findings) == []
    assert "command subscriber" not in {finding.check for finding in findings}


def test_joints_from_two_publishers_are_one_robot(healthy: Recording, policy: OnnxPolicy) -> None:
    recording = copy.deepcopy(healthy)
    halves: list[Sample] = []
    for sample in recording.topics[STATES].samples:
        m = sample.message
        assert isinstance(m, SimpleNamespace) and sample.stamp_s is not None
        for index in (0, 1):
            part = joint_state(
                [m.name[index]],
                np.array([m.position[index]]),
                np.array([m.velocity[index]]),
                sample.stamp_s,
            )
            halves.append(replace(sample, message=part))
    recording.topics[STATES].samples[:] = halves
    assert bad(examine_robot(policy, ARM, recording)) == []


def test_damaged_policy_and_policy_of_another_task_are_named(tmp_path: Path) -> None:
    path = arm_policy(tmp_path)
    assert examine_policy(path, ARM)[1].level == "ok"
    other, finding = examine_policy(path, load_task("hopper"))
    assert other is None and finding.level == "error" and "fingerprint" in finding.found
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    damaged, finding = examine_policy(path, ARM)
    assert damaged is None and "sha256" in finding.found


def imu_findings(acceleration: list[float], quaternion: list[float]) -> list[Finding]:
    """Look at an IMU that says the same all the time."""
    topic = "imu"
    channels = tuple(
        Channel(name=field, topic=topic, type="sensor_msgs/msg/Imu", field=field, unit="SI")
        for field in ("linear_acceleration", "orientation")
    )
    task = replace(ARM, observation=channels, reward=(), termination=())
    message = SimpleNamespace(
        linear_acceleration=SimpleNamespace(**dict(zip("xyz", acceleration, strict=True))),
        orientation=SimpleNamespace(**dict(zip("xyzw", quaternion, strict=True))),
    )
    record = TopicRecord(samples=[Sample(0.01 * n, 0.01 * n, message) for n in range(50)])
    recording = Recording(source="", duration_s=0.5, topics={topic: record}, knows_graph=False)
    return list(check_frames(task, recording))


TILTED = [0.0, math.sin(0.05), 0.0, math.cos(0.05)]  # pitched by 0.1 rad
TILTED_G = [-9.81 * math.sin(0.1), 0.0, 9.81 * math.cos(0.1)]


def test_imu_that_agrees_with_gravity_gets_a_clean_bill() -> None:
    assert bad(imu_findings([0.0, 0.0, 9.81], [0.0, 0.0, 0.0, 1.0])) == []
    assert bad(imu_findings(TILTED_G, TILTED)) == []


@pytest.mark.parametrize(
    ("acceleration", "quaternion", "words"),
    [
        ([0.0, 0.0, -9.81], [0.0, 0.0, 0.0, 1.0], "upside down"),
        ([9.81, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], "along x"),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], "multiples of g"),
        ([0.0, 0.0, 15.0], [0.0, 0.0, 0.0, 1.0], "must be 9.81"),
        ([0.0, 0.0, 9.81], [1.0, 0.0, 0.0, 0.0], "looks like w, x, y, z"),
        (TILTED_G, [TILTED[3], *TILTED[:3]], "looks like w, x, y, z"),
        ([0.0, 0.0, 9.81], [0.0, 0.0, 0.0, 0.5], "length is not 1"),
        ([0.0, 0.0, 9.81], [0.0, 0.7071, 0.0, 0.7071], "does not turn"),
    ],
)
def test_imu_in_another_frame_is_named(
    acceleration: list[float], quaternion: list[float], words: str
) -> None:
    found = bad(imu_findings(acceleration, quaternion))
    assert any(words in finding.advice for finding in found), found
