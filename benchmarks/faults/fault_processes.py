"""Faults of real processes: the policy node over DDS, in real time.

The node, the simulated robot and what starves them are processes; this one plays the robot, breaks
things, and judges every command that arrives.
"""

import functools
import math
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from benchmarks.faults.command_judge import CommandJudge
from benchmarks.faults.faulty_world import Tally
from benchmarks.random_policy import write_random_policy
from sac_ros.errors import InputError
from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS, SENSOR_QOS
from sac_ros.nodes.recorders.embedded_node import EmbeddedNode
from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.demos.demo_nodes import own_environment

SENSOR_HZ = 100.0
STARTUP_S = 20.0
HEALTHY_S, FAULTY_S = 0.5, 0.6
MAX_ATTEMPTS = 3
ROOT = Path(__file__).resolve().parents[2]


class CampaignError(InputError):
    """A process was not ready for a trial."""


class UndecidedError(Exception):
    """The reaction is late by no more than the machine kept the node from acting, or its judge."""


Process: TypeAlias = "subprocess.Popen[bytes]"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all trials share."""

    task: TaskSpec
    task_file: Path
    policy: Path
    folder: Path


class Player(EmbeddedNode):
    """Plays the robot when told to, and judges the commands."""

    def __init__(self, setup: Setup, tally: Tally, rng: np.random.Generator) -> None:
        super().__init__("robot")
        self.rng = rng
        self.publishes = True
        self.value = 0.0
        """Sent as every position and velocity."""
        self.copies = 1
        self._task = setup.task
        self._tally = tally
        self._judge = CommandJudge(setup.task, tally.verdicts)
        self._safe = np.array(setup.task.action.safe_command)
        self.must_react_from_s = math.inf
        """From then on, only the reaction is safe."""
        self.arrivals_s: list[float] = []
        self.are_reactions: list[bool] = []
        self.longest_turn_s = 0.0
        """Of the loop, since it was last set to zero; nothing is heard in the meantime."""
        self._turn_began_s = 0.0
        self._states = self.node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self.node.create_subscription(
            Float64MultiArray, setup.task.action.topic, self._on_command, 1000
        )

    def run_for(self, duration_s: float) -> None:
        """Publish joints on a time grid and take in commands."""
        self.run_until(lambda: False, duration_s)

    def run_until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Go on until the condition holds; return whether it did in time."""
        self._turn_began_s = due_s = time.monotonic()
        end_s = due_s + patience_s
        while not condition():
            now_s = time.monotonic()
            self.longest_turn_s = max(self.longest_turn_s, now_s - self._turn_began_s)
            self._turn_began_s = now_s
            if now_s >= end_s:
                return False
            if now_s >= due_s:
                due_s = max(due_s + 1.0 / SENSOR_HZ, now_s)
                self._publish()
            self.spin_once(max(1e-4, min(due_s, end_s) - time.monotonic()))
        return True

    def policy_acts(self, since_s: float) -> bool:
        """Say whether the last command is newer than this, and the policy's."""
        return (
            bool(self.arrivals_s) and self.arrivals_s[-1] > since_s and not self.are_reactions[-1]
        )

    def first_reaction_s(self, since_s: float) -> float:
        """Return when the first command of the reaction since then arrived; infinite if none."""
        times = zip(self.arrivals_s, self.are_reactions, strict=True)
        return next(
            (at_s for at_s, is_reaction in times if is_reaction and at_s >= since_s), math.inf
        )

    def _publish(self) -> None:
        if not self.publishes:
            return
        message = JointState(name=["shoulder", "elbow"])
        message.position = message.velocity = [self.value + 0.3, self.value - 0.2]
        for copy in range(self.copies):
            stamp_ns = time.monotonic_ns() + copy
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            self._states.publish(message)

    def _on_command(self, message: Float64MultiArray) -> None:
        now_s = time.monotonic()
        if self.arrivals_s and now_s - self.arrivals_s[-1] > 1.5 * self._task.control_period_s:
            self._judge.skip_rate_once()
        # It may have waited here for as long as this turn of the loop.
        must_react = self._turn_began_s > self.must_react_from_s
        must_react_because = "the policy acts in spite of the fault" if must_react else None
        self.are_reactions.append(self._judge.judge(np.array(message.data), must_react_because))
        self.arrivals_s.append(now_s)
        self._tally.num_ticks += 1


@contextmanager
def program(setup: Setup, name: str, *parameters: str, chokes: bool = False) -> Iterator[Process]:
    """Run one of our executables; with `chokes`, on a disk that is full."""
    start = f"import sac_ros.nodes.process.executables as e; e.{name}()"
    arguments = [item for parameter in parameters for item in ("-p", parameter)]
    output = Path("/dev/full") if chokes else setup.folder / f"{name}.log"
    with output.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", start, "--ros-args", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            preexec_fn=_no_disk if chokes else None,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def policy_node(
    setup: Setup, *parameters: str, chokes: bool = False
) -> AbstractContextManager[Process]:
    """Run the policy node, which starts itself."""
    base = (f"policy:={setup.policy}", f"task:={setup.task_file}", "autostart:=true")
    return program(setup, "policy_node", *base, *parameters, chokes=chokes)


def _no_disk() -> None:
    """Let every write to a file fail, and not kill."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class Trial:
    """One fault of one node process: healthy, broken, mended."""

    def __init__(self, setup: Setup, tally: Tally, rng: np.random.Generator) -> None:
        self.setup, self.tally = setup, tally
        self.player = Player(setup, tally, rng)
        self._node: Process | None = None
        tally.num_trials += 1

    @contextmanager
    def policy_node(self, *parameters: str, chokes: bool = False) -> Iterator[Process]:
        """Run the policy node that is on trial."""
        with policy_node(self.setup, *parameters, chokes=chokes) as self._node:
            yield self._node

    def be_healthy(self) -> None:
        """Wait for the policy's commands, then see how regular they are."""
        player = self.player
        began_s = time.monotonic()
        if not player.run_until(lambda: player.policy_acts(began_s), STARTUP_S):
            raise CampaignError(f"no command within {STARTUP_S} s; see {self.setup.folder}")
        player.run_for(HEALTHY_S + player.rng.uniform(0.0, 0.1))
        healthy = np.diff([at_s for at_s in player.arrivals_s if at_s > began_s + 0.2])
        period_s = self.setup.task.control_period_s
        # How much later than due a command came while all was well: this machine's own doing.
        self.lateness_s = max(0.0, float(healthy.max(initial=period_s)) - period_s)

    def expect_reaction(self, onset_s: float, *, stays: bool = True) -> None:
        """Wait for the reaction, and hold it against its bound; raise UndecidedError."""
        max_age_s = max(reading.max_age_s for reading in self.setup.task.readings)
        bound_s = self.setup.task.control_period_s + max_age_s + self.lateness_s
        if stays:
            self.player.must_react_from_s = onset_s + bound_s
        assert self._node is not None
        self.player.longest_turn_s = 0.0
        waited_before_s = waits_for_processor_s(self._node.pid)
        self.player.run_for(FAULTY_S)
        self.player.must_react_from_s = math.inf
        reaction_s = self.player.first_reaction_s(onset_s) - onset_s
        is_late = not reaction_s <= bound_s
        if is_late:
            waited_s = waits_for_processor_s(self._node.pid)
            held_up_s = max(
                [
                    self.player.longest_turn_s,
                    *(waited_s[thread] - waited_before_s.get(thread, 0.0) for thread in waited_s),
                ]
            )
            is_undecided = min(reaction_s, FAULTY_S) - held_up_s <= bound_s
            print(
                f"{'undecided' if is_undecided else 'late'}: a reaction after {reaction_s:.3f} s,"
                f" allowed {bound_s:.3f} s, held up for {held_up_s:.3f} s",
                file=sys.stderr,
            )
            if is_undecided:
                raise UndecidedError
        self.tally.bound_s = max(self.tally.bound_s, bound_s)
        if math.isfinite(reaction_s):
            self.tally.reactions_s.append(reaction_s)
        self.tally.num_late += is_late

    def expect_recovery(self) -> None:
        """See whether the policy acts again."""
        mended_s = time.monotonic()
        is_back = self.player.run_until(lambda: self.player.policy_acts(mended_s), STARTUP_S)
        self.tally.num_not_recovered += not is_back


def waits_for_processor_s(pid: int) -> dict[str, float]:
    """Return how long each thread of a process has been ready to run and did not, so far."""
    waits_s = {}
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # it has just ended
            waits_s[schedstat.parent.name] = 1e-9 * int(schedstat.read_text().split()[1])
    return waits_s


def _silence(trial: Trial) -> None:
    with trial.policy_node():
        trial.be_healthy()
        trial.player.publishes = False
        trial.expect_reaction(time.monotonic())
        trial.player.publishes = True
        trial.expect_recovery()


def _not_a_number(trial: Trial) -> None:
    with trial.policy_node():
        trial.be_healthy()
        trial.player.value = math.nan
        trial.expect_reaction(time.monotonic())
        trial.player.value = 0.0
        trial.expect_recovery()


def _flood(trial: Trial) -> None:
    with trial.policy_node():
        trial.be_healthy()
        trial.player.copies = 100
        trial.player.run_for(FAULTY_S)
        trial.player.copies = 1
        trial.expect_recovery()


def _stop_button(trial: Trial) -> None:
    stops = trial.player.node.create_publisher(Bool, "estop", LATCHED_QOS)
    with trial.policy_node():
        trial.be_healthy()
        if not trial.player.run_until(lambda: stops.get_subscription_count() >= 1, STARTUP_S):
            raise CampaignError("the node does not listen to estop")
        onset_s = time.monotonic()
        stops.publish(Bool(data=True))
        trial.expect_reaction(onset_s)


def _ended_by(number: signal.Signals) -> Callable[[Trial], None]:
    def end(trial: Trial) -> None:
        with trial.policy_node() as process:
            trial.be_healthy()
            onset_s = time.monotonic()
            process.send_signal(number)
            trial.expect_reaction(onset_s)
        with trial.policy_node():
            trial.expect_recovery()

    return end


def _killed(trial: Trial) -> None:
    """Only the controller's own timeout can react to this; the restarted node must be safe."""
    with trial.policy_node() as process:
        trial.be_healthy()
        process.kill()
        trial.player.run_for(FAULTY_S)
    with trial.policy_node():
        trial.expect_recovery()


def _suspended(trial: Trial) -> None:
    with trial.policy_node() as process:
        trial.be_healthy()
        process.send_signal(signal.SIGSTOP)
        trial.player.run_for(0.3 + trial.player.rng.uniform(0.0, 0.5))
        onset_s = time.monotonic()
        process.send_signal(signal.SIGCONT)
        trial.expect_reaction(onset_s, stays=False)
        trial.expect_recovery()


def _starved(trial: Trial) -> None:
    with trial.policy_node():
        trial.be_healthy()
        burners = [
            multiprocessing.get_context("spawn").Process(target=_burn, args=(2.0,), daemon=True)
            for _ in range(2 * len(os.sched_getaffinity(0)))
        ]
        for burner in burners:
            burner.start()
        trial.player.run_for(2.5)
        for burner in burners:
            burner.join()
        trial.expect_recovery()


def _burn(duration_s: float) -> None:
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        pass


def _disk_full(trial: Trial) -> None:
    with trial.policy_node(chokes=True):
        trial.be_healthy()
        trial.player.publishes = False
        trial.expect_reaction(time.monotonic())
        trial.player.publishes = True
        trial.expect_recovery()


def _robot_killed(use_sim_time: bool) -> Callable[[Trial], None]:
    def kill(trial: Trial) -> None:
        trial.player.publishes = False
        # Without /clock it is what hardware is to the node: stamped with real time.
        robot = functools.partial(
            program,
            trial.setup,
            "sim_robot_node",
            f"task:={trial.setup.task_file}",
            f"publish_clock:={str(use_sim_time).lower()}",
        )
        with trial.policy_node(f"use_sim_time:={str(use_sim_time).lower()}"):
            with robot() as process:
                trial.be_healthy()
                if use_sim_time:
                    # A simulated clock is given twice the time; see EpisodeCycle.watch_clock.
                    age_s = max(reading.max_age_s for reading in trial.setup.task.readings)
                    trial.lateness_s += age_s + 2.0 * trial.setup.task.control_period_s
                onset_s = time.monotonic()
                process.kill()
                trial.expect_reaction(onset_s)
            with robot():
                trial.expect_recovery()

    return kill


def _bad_policy(change: Callable[[bytes], bytes]) -> Callable[[Trial], None]:
    def offer(trial: Trial) -> None:
        path = trial.setup.folder / "bad.onnx"
        path.write_bytes(change(trial.setup.policy.read_bytes()))
        with policy_node(replace(trial.setup, policy=path)) as process:
            trial.player.must_react_from_s = 0.0  # no command at all may come
            ended = trial.player.run_until(lambda: process.poll() is not None, STARTUP_S)
            trial.tally.num_late += not ended or process.returncode != 2
        trial.player.must_react_from_s = math.inf
        with trial.policy_node():
            trial.expect_recovery()

    return offer


def _flip_a_bit(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


PROCESS_KINDS: dict[str, tuple[Callable[[Trial], None], bool]] = {
    "sensor silent": (_silence, True),
    "NaN over DDS": (_not_a_number, True),
    "flood of 10 kHz over DDS": (_flood, False),
    "emergency stop topic": (_stop_button, True),
    "SIGTERM": (_ended_by(signal.SIGTERM), True),
    "SIGINT": (_ended_by(signal.SIGINT), True),
    "policy node killed (kill -9)": (_killed, False),
    "policy node suspended (SIGSTOP)": (_suspended, True),
    "every core busy": (_starved, False),
    "disk full": (_disk_full, True),
    "robot killed (kill -9)": (_robot_killed(use_sim_time=False), True),
    "robot killed, and its clock": (_robot_killed(use_sim_time=True), True),
    "policy file with a flipped bit": (_bad_policy(_flip_a_bit), False),
    "policy file cut short": (_bad_policy(lambda content: content[:-100]), False),
}
"""Name -> the fault, and whether a reaction is required."""


def run_processes(
    num_rounds: int, seed: int, only: str, folder: Path, note: Callable[[int, int], None]
) -> dict[str, tuple[Tally, bool]]:
    """Try every fault of processes with `only` in its name; return what happened, by name.

    `note` is told how many trials are done, and of how many.
    """
    # Velocities are zero at once, so that the reaction can be told from the policy in any state.
    arm = load_task("two_joint_arm")
    velocities = {"kind": "velocity", "unit": "rad/s", "joint_limits": ()}
    task = replace(
        arm,
        action=replace(arm.action, on_fault="safe_command", **velocities),
        simulator=replace(arm.simulator, mjcf=str(_velocity_model(arm, folder))),
    )
    task_file = folder / "task.yaml"
    task_file.write_text(yaml.safe_dump(to_mapping(task), sort_keys=False))
    policy = folder / "process_policy.onnx"
    write_random_policy(policy, task, command="benchmarks.faults.fault_injection")
    setup = Setup(task=task, task_file=task_file, policy=policy, folder=folder)
    # A fault's own stream of random numbers, whichever others are left out.
    kinds = [(number, name) for number, name in enumerate(PROCESS_KINDS) if only in name]
    tallies = {name: (Tally(), PROCESS_KINDS[name][1]) for _, name in kinds}
    num_done = 0
    with own_environment(confined=True):
        for round_number in range(num_rounds):
            for number, name in kinds:
                fault, tally = PROCESS_KINDS[name][0], tallies[name][0]
                _try(fault, setup, tally, (seed, round_number, number))
                num_done += 1
                note(num_done, num_rounds * len(kinds))
    return tallies


def _velocity_model(arm: TaskSpec, folder: Path) -> Path:
    """Write the arm's model with velocity servos in place of its position servos."""
    assert arm.simulator.mjcf is not None
    model = Path(arm.simulator.mjcf).read_text()
    path = folder / "velocity_arm.xml"
    path.write_text(re.sub(r'<position (name="\w+" joint="\w+") kp="\d+"', r"<velocity \1", model))
    return path


def _try(fault: Callable[[Trial], None], setup: Setup, tally: Tally, seed: tuple[int, ...]) -> None:
    """Run a trial, and again while it is undecided; if it stays so, that counts as late."""
    for _ in range(MAX_ATTEMPTS):
        trial = Trial(setup, tally, np.random.default_rng(seed))
        try:
            # An emergency stop outlives its node, but must not reach the next trial.
            with tempfile.TemporaryDirectory() as ros_home:
                os.environ["ROS_HOME"] = ros_home
                fault(trial)
            return
        except UndecidedError:
            tally.num_undecided += 1
        finally:
            trial.player.close()
    tally.num_late += 1
