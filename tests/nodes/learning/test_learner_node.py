"""Learning on a robot, as it is in life: three processes that talk over DDS, one of them killed."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from balancing_checkpoint import balancing_task, write_balancing_run
from diagnostic_msgs.msg import DiagnosticArray
from full_disk import files_limited_to
from ros_processes import NodeProcess, Observer, observing
from simulated_robot import SimulatedRobot
from std_msgs.msg import Float64MultiArray, String, UInt8MultiArray
from std_srvs.srv import Trigger

from sac_ros.nodes.messages.message_conversion import transition_message
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, TRANSITION_QOS
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate, open_update
from sac_ros.sac.replay.transition_log import TransitionLog
from sac_ros.task.transition import Transition, columns

pytestmark = [
    pytest.mark.ros,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium"),
]

COMPILING_S = 300.0
"""What a compiler may take that has not met this update before, on a busy machine."""
LEARNING_S = 120.0
"""What a few episodes of learning may take there."""
LOADING_S = 90.0
"""What torch and its exporter may take to load on a busy machine."""
TASK = balancing_task(max_episode_steps=40)
# Nothing sensible is learned in so few steps; there the guard is not to see that.
UNGUARDED = ("max_action_change:=2.0", "max_drop:=0.99")
LEARNING = ("learner:=learner_node", "baseline_episodes:=2", "action_mode:=sample")
QUICK = {"warmup_steps": 80, "critic_steps": 40, "batch_size": 16, "prior_anneal_steps": 200}
BAD = QUICK | {"critic_steps": 0, "actor_learning_rate": 1.0}


class Watcher:
    """Hears learner and robot, and can speak as a robot itself."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.status: PolicyStatus | None = None
        self.updates: list[PolicyUpdate] = []
        self.learning: dict[str, str] = {}
        self.level = 0
        node = observer.node
        node.create_subscription(String, "policy_node/policy_status", self._on_status, LATCHED_QOS)
        node.create_subscription(
            UInt8MultiArray, "learner_node/policy_update", self._on_update, LATCHED_QOS
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.transitions = node.create_publisher(
            Float64MultiArray, "policy_node/transitions", TRANSITION_QOS
        )

    def wait(self, condition: object, what: str) -> None:
        self.observer.wait_until(condition, what, LEARNING_S)  # type: ignore[arg-type]

    def wait_until_loaded(self, learner: NodeProcess) -> None:
        self.observer.wait_for_output(learner, "learning for task", LOADING_S)

    def wait_for_learner(self, learner: NodeProcess) -> None:
        self.wait_until_loaded(learner)
        self.wait(lambda: self.transitions.get_subscription_count() == 1, "the learner")
        self.wait(lambda: "robot steps" in self.learning, "its diagnostics")

    @property
    def robot(self) -> PolicyStatus:
        """What the policy node said last; that it has done nothing yet, before it has spoken."""
        return self.status or PolicyStatus(version=0, good_version=0)

    def wait_for_version(self, version: int) -> None:
        self.observer.wait_until(
            lambda: self.robot.version >= version, f"version {version} on the robot", LOADING_S
        )

    def steps(self) -> int:
        return int(self.learning.get("robot steps", 0))

    def send(self, episode: int, num_steps: int, first: int = 0) -> None:
        for step in range(first, num_steps):
            message = transition_message(
                Transition(
                    episode=episode,
                    step=step,
                    obs=np.full(4, 0.01 * step, dtype=np.float32),
                    action=np.array([0.1]),
                    reward=1.0,
                    next_obs=np.full(4, 0.01 * step + 0.01, dtype=np.float32),
                    terminated=False,
                    truncated=step == num_steps - 1,
                )
            )
            self.transitions.publish(message)

    def _on_status(self, message: String) -> None:
        self.status = PolicyStatus.from_json(message.data)

    def _on_update(self, message: UInt8MultiArray) -> None:
        if len(message.data) > 0:  # else the learner has taken back what stood there
            self.updates.append(open_update(bytes(message.data), None))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        of_learner = [s for s in message.status if s.name.startswith("learner_node: ")]
        for status in of_learner:
            self.learning |= {item.key: item.value for item in status.values}
            if status.name == "learner_node: learning":
                self.level = int.from_bytes(status.level, "little")


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with observing() as observer:
        yield Watcher(observer)


class Run:
    """The files of one test, and the processes that use them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy, self.checkpoint = write_balancing_run(folder, TASK)
        self._simulated = SimulatedRobot(folder, TASK, self.policy, real_time_factor=5.0)
        self._num_learners = 0

    def learner(self, recipe: dict[str, object], *parameters: str) -> NodeProcess:
        path = self.folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        self._num_learners += 1
        return NodeProcess(
            "learner_node",
            *(f"policy:={self.policy}", f"checkpoint:={self.checkpoint}", f"config:={path}"),
            *(f"out:={self.folder / 'robot'}", "publish_period_s:=0.0", "niceness:=0"),
            # Networks of eight units are done before their compiler; two tests want it anyway.
            "compiled:=false",
            *parameters,
            log=self.folder / f"learner{self._num_learners}.log",
        )

    def robot(self, *parameters: str) -> AbstractContextManager[NodeProcess]:
        """Run a robot, and the policy node that this gives."""
        return self._simulated.running(*LEARNING, *parameters)

    def policy_node(self, *parameters: str) -> NodeProcess:
        return self._simulated.policy_node(*LEARNING, *parameters)

    def log(self, name: str = "transitions") -> TransitionLog:
        policy = OnnxPolicy.load(self.policy)
        return TransitionLog(
            self.folder / "robot" / name,
            obs_dim=4,
            action_dim=1,
            task_fingerprint=policy.contract.task_fingerprint,
            capacity=10**6,
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.long
def test_robot_runs_what_was_learned_on_it_and_a_killed_learner_goes_on(
    watcher: Watcher, run: Run
) -> None:
    with run.robot(*UNGUARDED):
        with run.learner(QUICK) as learner:
            watcher.wait_until_loaded(learner)
            watcher.wait_for_version(1)
            watcher.wait(lambda: watcher.steps() > 160, "more steps")
            learner.stop(signal.SIGKILL)
        before, version = watcher.steps(), watcher.updates[-1].header.version
        watcher.learning.clear()
        with run.learner(QUICK) as learner:
            watcher.wait_until_loaded(learner)
            watcher.wait(lambda: watcher.steps() > before, "steps on top of the earlier ones")
            watcher.wait(
                lambda: watcher.updates[-1].header.version > version, "a version of its own"
            )
        assert "transitions of this robot (0 damaged" in learner.output
    versions = [update.header.version for update in watcher.updates]
    assert versions == sorted(set(versions))


def test_learner_gone_bad_is_rolled_back_its_window_marked_and_it_waits_for_resume(
    watcher: Watcher, run: Run
) -> None:
    with run.robot("max_action_change:=2.0"), run.learner(BAD) as learner:
        watcher.wait_until_loaded(learner)
        watcher.wait(
            lambda: watcher.status is not None and watcher.status.num_rollbacks == 1, "the rollback"
        )
        watcher.wait(lambda: watcher.level == 2, "the diagnostic")
        assert watcher.status is not None and watcher.status.is_rolled_back
        bad, sent = watcher.status.bad_versions, len(watcher.updates)
        watcher.observer.spin_for(2.0)
        assert len(watcher.updates) == sent  # it waits
        response = watcher.observer.call(Trigger, "learner_node/resume", Trigger.Request())
        assert "rolled back" in response.message  # type: ignore[attr-defined]
        watcher.wait(lambda: len(watcher.updates) > sent, "learning after ~/resume")
        assert watcher.updates[-1].header.num_rollbacks >= 1
        learner.stop()
    log = run.log()
    rows = np.concatenate([block for _, block in log.open()])
    log.close()
    mark = log.marks[0]
    policy, episode = (columns(4, 1)[name] for name in ("policy", "episode"))
    made_by_bad = np.isin(rows[:, policy].ravel(), bad)
    assert 1 <= len(np.unique(rows[made_by_bad][:, episode])) <= 3
    assert mark.kind == "bad" and mark.first == np.flatnonzero(made_by_bad)[0]
    assert mark.last == np.flatnonzero(made_by_bad)[-1]


@pytest.mark.long
def test_what_a_person_does_to_the_robot_becomes_demonstrations_and_an_abort_a_mark(
    watcher: Watcher, run: Run
) -> None:
    hand = watcher.observer.node.create_publisher(Float64MultiArray, "policy_node/intervention", 10)
    # The whole range is +-300 N.
    push, action = Float64MultiArray(data=[15.0]), 0.05

    def pushed() -> bool:
        hand.publish(push)
        return int(watcher.learning.get("demonstrations", 0)) >= 10

    with run.robot("intervention_timeout_s:=0.5"), run.learner(QUICK) as learner:
        watcher.wait_until_loaded(learner)
        watcher.wait(pushed, "demonstrations")
        shown_by = watcher.steps()
        watcher.wait(lambda: watcher.steps() >= shown_by + 100, "steps of the policy's own")

        episodes = run.folder / "robot" / "episodes.csv"

        def aborted() -> bool:
            # Again if the pole fell in the very step: then that is how the episode ended.
            watcher.observer.call(Trigger, "policy_node/abort", Trigger.Request())
            return ",aborted," in episodes.read_text()

        watcher.wait(aborted, "an episode that was aborted")
        learner.stop()
    logs = [run.log(), run.log("demonstrations")]
    rows, shown = (np.concatenate([block for _, block in log.open()]) for log in logs)
    for log in logs:
        log.close()
    at = columns(4, 1)
    flagged = rows[rows[:, at["intervention"]].ravel() == 1.0]
    np.testing.assert_array_equal(shown, flagged)
    assert len(shown) >= 10 and len(shown) < len(rows)
    np.testing.assert_allclose(shown[:, at["action"]], action, atol=1e-9)
    mark = next(mark for mark in logs[0].marks if mark.kind == "aborted")
    assert rows[mark.last, at["aborted"]] == 1.0
    in_mark = rows[mark.first : mark.last + 1, at["episode"]]
    assert (in_mark == rows[mark.last, at["episode"]]).all()


@pytest.mark.long
def test_learner_that_lost_its_folder_counts_on_from_what_the_robot_has_taken(
    watcher: Watcher, run: Run
) -> None:
    with run.robot(*UNGUARDED):
        with run.learner(QUICK) as learner:
            watcher.wait_until_loaded(learner)
            watcher.wait_for_version(2)
            learner.stop(signal.SIGKILL)
        shutil.rmtree(run.folder / "robot")
        taken = watcher.robot.newest_version
        watcher.updates.clear()
        with run.learner(QUICK) as learner:
            watcher.wait_until_loaded(learner)
            watcher.wait(lambda: bool(watcher.updates), "a policy of the new learner")
            watcher.wait_for_version(taken + 1)
    assert all(update.header.version > taken for update in watcher.updates)
    assert watcher.robot.num_refused == 0


@pytest.mark.long
def test_policy_node_killed_alone_finds_the_newest_policy_and_says_what_it_waits_for(
    watcher: Watcher, run: Run
) -> None:
    with run.robot(*UNGUARDED) as killed, run.learner(QUICK) as learner:
        watcher.wait_until_loaded(learner)
        watcher.wait_for_version(1)
        watcher.observer.call(Trigger, "learner_node/pause", Trigger.Request())
        watcher.observer.spin_for(1.0)  # what was on its way
        newest = watcher.updates[-1].header.version
        killed.stop(signal.SIGKILL)
        watcher.status = None
        # Episodes enough to see it wait.
        with run.policy_node(*UNGUARDED, "baseline_episodes:=20"):
            watcher.wait(lambda: watcher.robot.waiting_version == newest, "the newest policy")
            assert "baseline" in watcher.robot.waits_for and watcher.robot.version == 0
            watcher.wait_for_version(newest)
    assert watcher.robot.num_refused == 0


@pytest.mark.long
def test_policy_that_was_given_up_is_not_found_by_a_policy_node_that_starts_anew(
    watcher: Watcher, run: Run
) -> None:
    with run.robot("max_action_change:=2.0") as killed, run.learner(BAD) as learner:
        watcher.wait_until_loaded(learner)
        watcher.wait(lambda: watcher.robot.num_rollbacks == 1, "the rollback")
        watcher.wait(lambda: watcher.level == 2, "a learner that knows of it")
        killed.stop(signal.SIGKILL)
        watcher.status = None
        with run.policy_node("max_action_change:=2.0"):
            watcher.wait(lambda: watcher.robot.num_episodes >= 4, "episodes after the baseline")
    assert watcher.robot.newest_version == 0 and watcher.robot.num_refused == 0


@pytest.mark.distro
def test_what_is_no_transition_is_refused_and_counted_and_learning_goes_on(
    watcher: Watcher, run: Run
) -> None:
    with run.learner(QUICK) as learner:
        watcher.wait_for_learner(learner)
        good = transition_message(
            Transition(
                episode=0, step=0, obs=np.zeros(4, np.float32), action=np.zeros(1), reward=1.0,
                next_obs=np.zeros(4, np.float32), terminated=False, truncated=False,
            )
        )  # fmt: skip
        bad = [Float64MultiArray(data=good.data) for _ in range(7)]
        bad[0].data = []
        bad[1].data = list(good.data) * 1000
        at = {name: place.start for name, place in columns(obs_dim=4, action_dim=1).items()}
        bad[2].data[at["reward"]] = float("nan")
        bad[3].data[at["terminated"]] = 0.5
        bad[4].data[at["episode"]] = -1.0
        bad[5].data[at["obs"]] = 1e300  # infinite as a float32
        bad[6].data[at["action"]] = 1.5
        for message in bad:
            watcher.transitions.publish(message)
        watcher.wait(lambda: watcher.learning["messages refused"] == "7", "the refusals")
        assert watcher.steps() == 0
        for episode in range(4):
            watcher.send(episode, 40)
        watcher.wait(lambda: watcher.steps() == 160, "the good ones")
        watcher.wait(lambda: bool(watcher.updates), "a policy")


@pytest.mark.long
def test_nothing_that_comes_while_the_update_is_compiled_is_lost(
    watcher: Watcher, run: Run
) -> None:
    with run.learner(QUICK, "compiled:=true") as learner:
        watcher.wait_for_learner(learner)
        for episode in range(4):
            watcher.send(episode, 40)
        watcher.wait(lambda: watcher.steps() == 160, "all of them")
        watcher.observer.wait_for_output(learner, "compiled in", COMPILING_S)
        watcher.wait(lambda: bool(watcher.updates), "a policy")
    assert watcher.learning["transitions lost"] == "0"


@pytest.mark.long
def test_learner_that_is_told_to_end_while_it_compiles_saves_and_ends_well(
    watcher: Watcher, run: Run
) -> None:
    with run.learner(QUICK, "compiled:=true") as learner:
        watcher.wait_for_learner(learner)
        watcher.send(0, 40)
        watcher.wait(lambda: watcher.steps() == 40, "all of them")
        assert learner.stop() == 0
    log = run.log()
    assert sum(len(block) for _, block in log.open()) == 40
    log.close()


@pytest.mark.long
def test_learner_outlives_a_full_disk_and_its_robot_goes_on_learning(
    watcher: Watcher, run: Run
) -> None:
    def unsaved() -> int:
        return int(watcher.learning.get("transitions not saved", 0))

    with run.robot(*UNGUARDED), run.learner(QUICK) as learner:
        watcher.wait_until_loaded(learner)
        watcher.wait_for_version(1)
        with files_limited_to(0, learner.pid):
            # An episode and more: what is lost is steps, episodes and a policy.
            watcher.wait(lambda: unsaved() >= 50, "transitions that cannot be saved")
        steps, version = watcher.steps(), watcher.robot.version
        watcher.wait_for_version(version + 2)
        watcher.wait(lambda: watcher.steps() > steps, "more steps")
        assert learner.stop() == 0
    log = run.log()
    numbers = [len(rows) for _, rows in log.open()]
    log.close()
    assert sum(numbers) > 50 and log.num_damaged == 0


def test_lost_transitions_are_counted(watcher: Watcher, run: Run) -> None:
    with run.learner(QUICK) as learner:
        watcher.wait_for_learner(learner)
        watcher.send(episode=0, num_steps=10)
        watcher.send(episode=1, num_steps=10, first=3)
        watcher.wait(lambda: watcher.learning["transitions lost"] == "3", "the count")


def test_slow_machine_drops_updates_and_says_how_many(watcher: Watcher, run: Run) -> None:
    with run.learner(QUICK | {"utd_ratio": 50.0, "max_updates_owed": 100}) as learner:
        watcher.wait_for_learner(learner)
        watcher.send(episode=0, num_steps=200)
        watcher.wait(lambda: int(watcher.learning["updates dropped"]) > 0, "dropped updates")


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (("policy:=''",), "policy"),
        (("checkpoint:=''",), "from_scratch"),
        (("from_scratch:=true",), "drop one"),
        (("checkpoint:=/nowhere",), "no checkpoint in /nowhere"),
        (("config:=/nowhere.yaml",), "cannot read /nowhere.yaml"),
        (("key_file:=/nowhere",), "cannot read key_file"),
    ],
)
def test_bad_parameter_ends_the_process_with_status_2(
    run: Run, parameters: tuple[str, ...], reason: str
) -> None:
    with run.learner(QUICK, *parameters) as learner:
        assert learner.wait() == 2
        assert reason in learner.output and "Traceback" not in learner.output
