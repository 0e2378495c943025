"""New policies for a running robot, over DDS: let in between episodes, refused, taken back."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from linear_policy import BALANCING_GAIN, linear_policy
from ros_processes import NodeProcess, Observer, observing
from simulated_robot import SimulatedRobot
from std_msgs.msg import Float64MultiArray, String, UInt8MultiArray

from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, TRANSITION_QOS
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate, UpdateHeader, pack_update
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import Transition

pytestmark = [
    pytest.mark.ros,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium"),
]

TASK = replace(load_task("inverted_pendulum"), max_episode_steps=40)
GOOD = linear_policy(TASK, BALANCING_GAIN)
ALSO_GOOD = linear_policy(TASK, 1.1 * BALANCING_GAIN)
LETS_FALL = linear_policy(TASK, 0.0 * BALANCING_GAIN)
WILD = linear_policy(TASK, -1e4 * BALANCING_GAIN)


class Learner:
    """Sends policies, and hears what the robot makes of them."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.status: PolicyStatus | None = None
        self.transitions: list[Transition] = []
        node = observer.node
        self._updates = node.create_publisher(
            UInt8MultiArray, "observer/policy_update", LATCHED_QOS
        )
        node.create_subscription(String, "policy_node/policy_status", self._on_status, LATCHED_QOS)
        node.create_subscription(
            Float64MultiArray, "policy_node/transitions", self._on_transition, TRANSITION_QOS
        )

    def send(
        self, policy: bytes, version: int, num_rollbacks: int = 0, key: bytes | None = None
    ) -> None:
        header = UpdateHeader(
            version=version,
            num_rollbacks=num_rollbacks,
            robot_steps=0,
            task_fingerprint=TASK.fingerprint,
            sha256=hashlib.sha256(policy).hexdigest(),
        )
        content = pack_update(PolicyUpdate(header=header, policy=policy), key)
        self._updates.publish(UInt8MultiArray(data=content))

    def send_bytes(self, content: bytes) -> None:
        self._updates.publish(UInt8MultiArray(data=content))

    def wait_for(self, what: str, **wanted: object) -> PolicyStatus:
        self.observer.wait_until(
            lambda: (
                self.status is not None
                and all(getattr(self.status, name) == value for name, value in wanted.items())
            ),
            f"{what}: {wanted}",
        )
        assert self.status is not None
        return self.status

    def wait_for_baseline(self) -> PolicyStatus:
        self.observer.wait_until(
            lambda: self.status is not None and self.status.num_episodes >= 2, "the baseline"
        )
        assert self.status is not None
        return self.status

    def _on_status(self, message: String) -> None:
        self.status = PolicyStatus.from_json(message.data)

    def _on_transition(self, message: Float64MultiArray) -> None:
        self.transitions.append(transition_from_message(message, TASK.obs_dim, TASK.action_dim))


@pytest.fixture
def learner() -> Iterator[Learner]:
    with observing() as observer:
        yield Learner(observer)


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[NodeProcess]:
    """Give a policy node that balances, on a fast robot whose episodes are short."""
    with started(tmp_path) as node:
        yield node


def started(
    folder: Path, *parameters: str, max_episode_steps: int = 40
) -> AbstractContextManager[NodeProcess]:
    """Run a simulated robot, and the policy node that this gives."""
    policy = folder / "policy.onnx"
    policy.write_bytes(GOOD)
    task = replace(TASK, max_episode_steps=max_episode_steps)
    simulated = SimulatedRobot(folder, task, policy)
    return simulated.running("learner:=observer", "baseline_episodes:=2", *parameters)


@pytest.mark.distro
def test_verified_policy_runs_from_the_next_episode_and_says_so_in_its_transitions(
    learner: Learner, robot: NodeProcess
) -> None:
    learner.send(ALSO_GOOD, version=5)
    learner.wait_for("the swap", version=5, num_swaps=1)
    count = len(learner.transitions)
    learner.observer.wait_until(
        lambda: any(t.policy == 5 for t in learner.transitions[count:]), "its transitions"
    )
    by_episode: dict[int, set[int]] = {}
    for transition in learner.transitions:
        by_episode.setdefault(transition.episode, set()).add(transition.policy)
    assert all(len(versions) == 1 for versions in by_episode.values()), by_episode
    # Two episodes of the policy that came were the baseline.
    assert learner.wait_for("the baseline", version=5).baseline_return == 40.0
    assert {0} in by_episode.values()


def test_learner_gone_bad_is_rolled_back_within_three_episodes(
    learner: Learner, robot: NodeProcess
) -> None:
    learner.send(ALSO_GOOD, version=1)
    learner.wait_for("a good policy", version=1)
    num_episodes = learner.wait_for("a good episode", good_version=1).num_episodes
    learner.send(LETS_FALL, version=2)

    status = learner.wait_for("the rollback", is_rolled_back=True)

    assert status.version == 1 and status.bad_versions == (2,)
    bad_episodes = {t.episode for t in learner.transitions if t.policy == 2}
    assert 1 <= len(bad_episodes) <= 3
    assert status.num_episodes > num_episodes
    learner.observer.wait_for_output(robot, "back to policy version 1")
    # A learner that goes on as if nothing had happened is not heard any more.
    learner.send(LETS_FALL, version=3)
    learner.wait_for("the refusal", num_refused=1)
    learner.send(ALSO_GOOD, version=4, num_rollbacks=1)
    learner.wait_for("learning resumed", version=4, is_rolled_back=False)


@pytest.fixture(scope="class")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Give a policy node, for all tests in which it refuses what comes."""
    with started(tmp_path_factory.mktemp("undisturbed")) as node:
        yield node


class TestRefusals:
    """One policy node refuses them all, and is gone before another test starts its own."""

    @pytest.mark.parametrize(
        ("policy", "reason"),
        [
            (WILD, "max_action_change"),
            (linear_policy(load_task("two_joint_arm")), "fingerprint"),
            (GOOD[:-1], "cut short"),
            (b"nonsense", "not an ONNX file"),
        ],
    )
    def test_unfit_policy_is_refused_and_the_old_one_goes_on(
        self, learner: Learner, undisturbed: NodeProcess, policy: bytes, reason: str
    ) -> None:
        before = learner.wait_for_baseline().num_refused
        learner.send(policy, version=before + 1)
        status = learner.wait_for("the refusal", num_refused=before + 1)
        assert reason in status.refusal and status.version == 0
        learner.transitions.clear()
        learner.observer.wait_until(lambda: len(learner.transitions) > 50, "the robot going on")
        assert {t.policy for t in learner.transitions} == {0}

    def test_malformed_update_is_refused(self, learner: Learner, undisturbed: NodeProcess) -> None:
        before = learner.wait_for("the node", version=0).num_refused
        learner.send_bytes(b"")  # taken back: nothing to refuse
        malformed = (b"\n", b"\x00" * 100_000, b'{"format": 9}\n')
        for count, content in enumerate(malformed, start=before + 1):
            learner.send_bytes(content)
            learner.wait_for("the refusal", num_refused=count)


def test_wild_policy_that_is_there_before_any_observation_is_refused_too(
    learner: Learner, tmp_path: Path
) -> None:
    learner.send(WILD, version=1)
    with started(tmp_path):
        assert "max_action_change" in learner.wait_for("the refusal", num_refused=1).refusal


def test_policy_of_a_stranger_is_refused_where_there_is_a_key(
    learner: Learner, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    with started(tmp_path, f"key_file:={key}"):
        learner.send(ALSO_GOOD, version=1)
        assert "not signed" in learner.wait_for("the refusal", num_refused=1).refusal
        learner.send(ALSO_GOOD, version=1, key=bytes(range(1, 33)))
        learner.wait_for("the refusal", num_refused=2)
        learner.send(ALSO_GOOD, version=2, key=key.read_bytes())
        learner.wait_for("the swap", version=2)


def test_swap_between_ticks_does_not_wait_for_the_episode(learner: Learner, tmp_path: Path) -> None:
    # So long that a swap at the very end of an episode is nothing to reckon with.
    with started(tmp_path, "swap:=ticks", max_episode_steps=300):
        learner.wait_for_baseline()
        learner.send(ALSO_GOOD, version=1)
        learner.wait_for("the swap", version=1)
        learner.observer.wait_until(
            lambda: any(t.policy == 1 for t in learner.transitions), "its transitions"
        )
        before, after = (
            {t.episode for t in learner.transitions if t.policy == version} for version in (0, 1)
        )
        assert len(before & after) == 1


def test_without_a_learner_parameter_nobody_is_listened_to(
    learner: Learner, tmp_path: Path
) -> None:
    with started(tmp_path, "learner:=''"):
        learner.observer.wait_until(lambda: len(learner.transitions) > 100, "the robot")
        learner.send(ALSO_GOOD, version=1)
        learner.observer.spin_for(1.0)
        assert {t.policy for t in learner.transitions} == {0}
        assert np.isfinite([t.reward for t in learner.transitions]).all()
