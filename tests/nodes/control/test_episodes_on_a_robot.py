"""People and raters in a robot's episodes, with the policy node as a process over DDS."""

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import pendulum_robot
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.msg import Transition as StateChange
from pendulum_robot import HALF_FORCE_N, TASK, Robot
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_processes import NodeProcess
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sac_ros.nodes.messages.message_conversion import transition_from_message
from sac_ros.nodes.messages.qos_profiles import TRANSITION_QOS
from sac_ros.task.transition import Transition, columns

pytestmark = pytest.mark.ros

PERSON_N = -90.0
PERSONS_ACTION = -0.3
QUICK = ("diagnostics_period_s:=0.2", "reset_settle_s:=0.0")
# Faults are not the subject here, and a busy machine must not make any.
PATIENT = ("max_age_s:=5.0", "max_late_periods:=100.0")


class Scene:
    """A robot, and everybody who has a part in its episodes, played by the test."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.transitions: list[Transition] = []
        self.levels: dict[str, int] = {}
        self.values: dict[str, dict[str, str]] = {}
        self.num_unrated = 0
        self.num_resets = 0
        self.may_reset = True
        self.reset_takes_s = 0.0
        self.rates = False
        node = robot.observer.node
        node.create_subscription(
            Float64MultiArray, "policy_node/transitions", self._on_transition, TRANSITION_QOS
        )
        node.create_subscription(
            Float64MultiArray, "policy_node/unrated", self._on_unrated, TRANSITION_QOS
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        node.create_service(Trigger, "sim_robot/reset", self._on_reset)
        self._persons = node.create_publisher(Float64MultiArray, "policy_node/intervention", 10)
        self.rewards = node.create_publisher(
            Float64MultiArray, "policy_node/reward", TRANSITION_QOS
        )

    def wait(self, condition: object, what: str) -> None:
        """Wait, with joints and whatever else is going on kept up."""

        def there() -> bool:
            self.robot.send()
            return bool(condition())  # type: ignore[operator]

        self.robot.observer.wait_until(there, what)

    def begin(self) -> None:
        """Wait until the policy commands and everybody hears everybody."""
        self.robot.observer.wait_until_active()
        self.robot.wait_for_connection()
        self.robot.drive(HALF_FORCE_N)
        self.wait(lambda: self._persons.get_subscription_count() == 1, "discovery")
        self.wait(lambda: "intervention" in self.levels, "diagnostics")
        self.wait(lambda: bool(self.transitions) or self.num_unrated > 0, "a step")

    def intervene(self, *force_n: float) -> None:
        """A person asks for this, once."""
        self._persons.publish(Float64MultiArray(data=list(force_n)))

    def drive_by_hand(self) -> None:
        """A person asks for a force until the robot gets it."""

        def answered() -> bool:
            self.intervene(PERSON_N)
            return self.robot.commands[-1] == [PERSON_N]

        self.wait(answered, "the person's command")

    def call(self, service: str) -> Trigger.Response:
        """Call a service of the policy node."""
        answer: Trigger.Response = self.robot.observer.call(
            Trigger, f"policy_node/{service}", Trigger.Request()
        )
        return answer

    def count(self, status: str, value: str) -> int:
        """Return a count on /diagnostics."""
        return int(self.values[status][value])

    def _on_transition(self, message: Float64MultiArray) -> None:
        self.transitions.append(transition_from_message(message, TASK.obs_dim, TASK.action_dim))

    def _on_unrated(self, message: Float64MultiArray) -> None:
        """Rate a step by its number, as a program would by what it sees."""
        self.num_unrated += 1
        at = columns(TASK.obs_dim, TASK.action_dim)
        episode, step = message.data[at["episode"].start], message.data[at["step"].start]
        assert message.data[at["reward"].start] != message.data[at["reward"].start]  # NaN
        if self.rates:
            self.rewards.publish(Float64MultiArray(data=[episode, step, 100.0 + step]))

    def _on_reset(self, request: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        self.num_resets += 1
        time.sleep(self.reset_takes_s)
        answer.success, answer.message = self.may_reset, "somebody stands in the way"
        return answer

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.removeprefix("policy_node: ")
            self.levels[name] = int.from_bytes(status.level, "little")
            self.values[name] = {value.key: value.value for value in status.values}


@pytest.fixture
def scene(robot: Robot) -> Scene:
    return Scene(robot)


def started(policy: Path, log: Path, *parameters: str) -> NodeProcess:
    return pendulum_robot.started(policy, log, *QUICK, *PATIENT, *parameters)


def test_person_takes_over_is_recorded_as_executed_and_hands_back_by_letting_go(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        scene.begin()
        scene.drive_by_hand()
        scene.robot.drive(HALF_FORCE_N)  # nobody sends any more
        scene.robot.observer.wait_for_output(node, "the policy commands again")
        flagged = [t for t in scene.transitions if t.intervention]
        assert flagged and all(abs(t.action[0] - PERSONS_ACTION) < 1e-9 for t in flagged)
        own = [t for t in scene.transitions if not t.intervention and t.step > 0]
        assert own and all(abs(t.action[0] - 0.5) < 1e-3 for t in own)
        episode = [t.step for t in scene.transitions if t.episode == flagged[0].episode]
        assert episode == list(range(episode[0], episode[0] + len(episode)))


def test_person_is_heard_with_best_effort_too(scene: Scene, policy: Path, log: Path) -> None:
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    with started(policy, log):
        scene.begin()
        node = scene.robot.observer.node
        scene._persons = node.create_publisher(Float64MultiArray, "policy_node/intervention", qos)
        scene.drive_by_hand()


def test_what_is_no_command_is_refused_and_counted_and_the_policy_goes_on(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        scene.begin()
        for force_n in ((), (1.0, 2.0), (float("nan"),), (float("inf"),)):
            scene.robot.observer.spin_for(0.02)  # a queue of one
            scene.intervene(*force_n)
        scene.wait(lambda: scene.count("intervention", "messages refused") >= 1, "the count")
        scene.robot.observer.wait_for_output(node, "refused an intervention")
        assert scene.count("intervention", "messages") == 0
        assert {round(force_n) for (force_n,) in scene.robot.commands} <= {0, round(HALF_FORCE_N)}
        scene.drive_by_hand()


def test_emergency_stop_wins_over_a_person_who_goes_on_commanding(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log):
        scene.begin()
        scene.drive_by_hand()
        assert scene.call("estop").success
        scene.robot.commands.clear()

        def stopped() -> bool:
            scene.intervene(PERSON_N)
            return len(scene.robot.commands) > 20

        scene.wait(stopped, "commands")
        assert set(map(tuple, scene.robot.commands[1:])) == {(0.0,)}


def test_every_way_out_during_an_intervention_leaves_the_safe_command(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log) as node:
        scene.begin()
        scene.drive_by_hand()
        assert scene.robot.observer.change_state(StateChange.TRANSITION_DEACTIVATE)
        scene.robot.observer.wait_until(
            lambda: scene.robot.commands[-1] == [0.0], "the safe command"
        )
        assert scene.robot.observer.change_state(StateChange.TRANSITION_ACTIVATE)
        scene.robot.drive(HALF_FORCE_N)
        scene.drive_by_hand()
        assert node.stop(signal.SIGTERM) == 0
        scene.robot.observer.wait_until(
            lambda: scene.robot.commands[-1] == [0.0], "the safe command"
        )


@pytest.mark.distro
@pytest.mark.parametrize(
    ("service", "terminated", "reward"), [("success", True, 2.5), ("abort", False, 1.0)]
)
def test_episode_is_ended_by_a_service_and_the_next_waits_for_the_reset(
    scene: Scene, policy: Path, log: Path, service: str, terminated: bool, reward: float
) -> None:
    with started(policy, log, "run:=episodes", "success_reward:=2.5") as node:
        scene.begin()
        scene.may_reset = False
        before = scene.num_resets
        answer = scene.call(service)
        assert answer.success, answer.message
        scene.wait(lambda: scene.transitions[-1].terminated or scene.transitions[-1].truncated, "")
        last = scene.transitions[-1]
        assert (last.terminated, last.truncated, last.aborted) == (
            terminated,
            not terminated,
            not terminated,
        )
        assert last.reward == reward
        scene.wait(lambda: scene.num_resets > before, "the call of the reset service")
        scene.robot.observer.wait_for_output(node, "somebody stands in the way")
        assert scene.robot.commands[-1] == [0.0]
        assert "no episode runs" in scene.call(service).message
        scene.may_reset = True
        scene.wait(lambda: scene.transitions[-1].episode > last.episode, "the next episode")
        assert scene.transitions[-1].step <= 1


def test_robot_that_takes_its_time_to_reset_is_asked_once(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log, "run:=episodes"):
        scene.begin()
        before, episode = scene.num_resets, scene.transitions[-1].episode
        scene.reset_takes_s = 5.0
        assert scene.call("abort").success
        scene.wait(lambda: scene.transitions[-1].episode > episode, "the next episode")
        scene.robot.drive(HALF_FORCE_N)
        assert scene.num_resets == before + 1


def test_without_episodes_abort_leaves_the_active_state(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log):
        scene.begin()
        assert scene.call("abort").success
        scene.wait(lambda: scene.robot.commands[-1] == [0.0], "the safe command")
        scene.robot.observer.wait_for_state(State.PRIMARY_STATE_INACTIVE)
        assert not scene.call("success").success


def test_rewards_of_a_topic_reach_the_steps_that_they_name(
    scene: Scene, policy: Path, log: Path
) -> None:
    scene.rates = True
    with started(policy, log, "reward:=topic", "reward_timeout_s:=5.0"):
        scene.begin()
        scene.wait(lambda: len(scene.transitions) > 50, "rated steps")
        assert all(t.reward == 100.0 + t.step for t in scene.transitions)
        steps = [t.step for t in scene.transitions if t.episode == scene.transitions[-1].episode]
        assert steps == list(range(steps[0], steps[0] + len(steps)))


def test_reward_that_never_came_is_a_gap_and_no_zero_and_bad_ones_are_counted(
    scene: Scene, policy: Path, log: Path
) -> None:
    scene.rates = True
    with started(policy, log, "reward:=topic", "reward_timeout_s:=0.2") as node:
        scene.begin()
        scene.wait(lambda: bool(scene.transitions), "a rated step")
        scene.rates = False
        scene.wait(lambda: scene.count("rewards", "steps without a reward in time") > 5, "drops")
        # No number, not finite, of a step that had one, of a step that never was.
        first = [float(scene.transitions[0].episode), float(scene.transitions[0].step)]
        for numbers in ([], [float("nan")], [*first, 1.0], [first[0], 1e9, 1.0]):
            scene.rewards.publish(Float64MultiArray(data=numbers))
        scene.wait(lambda: scene.count("rewards", "malformed or not finite") == 2, "refusals")
        scene.wait(lambda: scene.levels["rewards"] == 1, "the warning")
        assert scene.count("rewards", "of an unknown step") == 1
        assert scene.count("rewards", "duplicate") == 1
        scene.robot.observer.wait_for_output(node, "refused a reward")
        scene.transitions.clear()
        scene.rates = True
        scene.wait(lambda: len(scene.transitions) > 5, "steps after the gap")
        assert all(t.reward == 100.0 + t.step for t in scene.transitions)
        assert scene.transitions[0].step > 5


def test_reset_waits_until_the_last_step_has_been_rated_or_given_up(
    scene: Scene, policy: Path, log: Path
) -> None:
    with started(policy, log, "run:=episodes", "reward:=topic", "reward_timeout_s:=2.0"):
        scene.begin()
        before = scene.num_resets
        assert scene.call("success").success
        scene.wait(lambda: scene.robot.commands[-1] == [0.0], "the end")
        scene.robot.observer.spin_for(0.5)
        assert scene.num_resets == before and not scene.transitions
        scene.wait(lambda: scene.num_resets > before, "the reset")
        # Success is a rating of its own; nobody rated the steps before it.
        (last,) = scene.transitions
        assert last.terminated and last.reward == 1.0


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("reward:=joystick", "expected one of ['task', 'topic']"),
        ("unrated:=ignore", "expected one of ['drop', 'zero']"),
        ("intervention_timeout_s:=0.0", "intervention_timeout_s"),
        ("reward_timeout_s:=1e9", "reward_timeout_s"),
    ],
)
def test_parameter_that_means_nothing_ends_the_process_with_status_2(
    policy: Path, log: Path, parameter: str, reason: str
) -> None:
    with started(policy, log, parameter) as node:
        assert node.wait() == 2
        assert reason in node.output and "Traceback" not in node.output
