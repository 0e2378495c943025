"""The node's own control cycle on a MuJoCo robot, with a faulty link between, in virtual time.

Everything between message and command is what runs on a robot: readings, observation, ONNX policy,
safety filter, watchdogs. Only time, transport and the wiring to rclpy are simulated here.
"""

import heapq
import math
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.command_judge import CommandJudge, Verdicts
from benchmarks.faults.fault_kinds import Fault, Kind, Required, State
from sac_ros.nodes.control.episode_cycle import EpisodeCycle, Phase
from sac_ros.nodes.control.intervention import Intervention
from sac_ros.nodes.messages.sensor_readings import MessageError, SensorReadings
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.observation import Readings
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition
from sim_training.robot.mujoco_robot import MujocoRobot

MAX_LATE_PERIODS = 2.0
NO_FAULT = Fault()
HEALTHY_S, FAULTY_S, RECOVERY_S = (0.3, 0.6), (0.3, 0.8), 1.0
RELEASE_S = 0.1
"""How long after the fault somebody resets the emergency stop, or activates the node again."""


@dataclass
class Tally:
    """All trials of one kind of fault."""

    verdicts: Verdicts = field(default_factory=Verdicts)
    num_ticks: int = 0
    num_trials: int = 0
    num_late: int = 0
    """Required reactions that came late, or never."""
    num_not_recovered: int = 0
    num_undecided: int = 0
    """Trials that were done again: the machine kept the node, or its judge, from acting."""
    reactions_s: list[float] = field(default_factory=list)
    """From fault to the first command of the reaction, one for each trial that had one."""
    bound_s: float = 0.0
    """Greatest time that any of them was allowed."""


class FaultyWorld:
    """One robot, one node, and what is between them."""

    def __init__(self, task: TaskSpec, policy: OnnxPolicy) -> None:
        self._task = task
        self._policy = policy
        self._robot = MujocoRobot(task)
        self._stride = max(1, self._robot.steps_per_control // 2)
        self._max_age_s = max(reading.max_age_s for reading in task.readings)
        self._rng = np.random.default_rng(0)
        self._now_s = 0.0

    def run_trial(self, kind: Kind, rng: np.random.Generator, tally: Tally) -> None:
        """Let the robot run, inject the fault, remove it, and check that the policy acts again."""
        self._begin(rng, tally)
        self._run_for(rng.uniform(*HEALTHY_S))
        assert self._judge_has_seen_policy, "the node never commanded before the fault"
        bound_s = self._task.control_period_s + self._max_age_s + kind.extra_s
        self._fault, self._onset_s, self._reacted_s = kind.make(rng), self._now_s, math.inf
        self._bound_s, self._must_stay = bound_s, kind.required is Required.REACTION_ONLY
        self._strike(kind)
        self._run_for(rng.uniform(*FAULTY_S))
        self._note_reaction(kind, bound_s)
        self._fault = NO_FAULT
        # What came from outside is over; a fault of the node's own waits for somebody.
        self._must_stay &= self._cycle.phase is Phase.LATCHED
        self._run_for(RELEASE_S)
        self._must_stay = False
        self._release()
        self._run_for(RECOVERY_S)
        tally.num_not_recovered += not self._policy_acts

    # What the node does with its RobotLink; see PolicyNode for the same over DDS.

    def publish_command(self, command: NDArray[np.float64]) -> None:
        """Judge the command, then let the robot execute it."""
        overdue_s = self._now_s - self._onset_s - self._bound_s
        must_react_because = (
            "the policy acts in spite of the fault" if self._must_stay and overdue_s > 0 else None
        )
        is_reaction = self._judge.judge(command, must_react_because)
        self._policy_acts = not is_reaction
        self._judge_has_seen_policy |= not is_reaction
        if is_reaction and self._now_s >= self._onset_s:
            self._reacted_s = min(self._reacted_s, self._now_s)
        self._robot.set_command(np.nan_to_num(command))

    def publish_transition(self, transition: Transition) -> None:
        """Check the transition that a learner would receive."""
        assert np.isfinite(transition.obs).all() and np.isfinite(transition.next_obs).all()
        assert np.isfinite(transition.action).all() and math.isfinite(transition.reward)

    def request_reset(self, number: int) -> str | None:
        """Never asked for: the run is continuous."""
        return "somebody who resets it"

    def can_reset(self) -> bool:
        """Never asked for either."""
        return False

    def stop(self, reason: str) -> None:
        """Send the robot the final command, and be inactive."""
        self._cycle.deactivate(self._now_s)
        self._is_active, self._policy_acts = False, False
        self._reacted_s = min(self._reacted_s, self._now_s)

    def fault(self, reason: str) -> None:
        """Latch, as the emergency stop does."""
        self._cycle.latch(reason, self._now_s)

    def info(self, text: str) -> None:
        """Nobody listens."""

    def warn(self, text: str) -> None:
        """Nobody listens."""

    def _begin(self, rng: np.random.Generator, tally: Tally) -> None:
        self._rng = rng
        tally.num_trials += 1
        self._tally = tally
        self._judge = CommandJudge(self._task, tally.verdicts)
        self._judge_has_seen_policy = self._policy_acts = False
        self._fault, self._onset_s, self._reacted_s = NO_FAULT, math.inf, math.inf
        self._bound_s, self._must_stay = 0.0, False
        self._on_the_way: list[tuple[float, int, State]] = []
        self._num_sent = 0
        self._clock_s = rng.uniform(0.0, 1e6)
        """What the publisher's clock shows when ours shows zero."""
        self._robot.reset(rng)
        self._now_s = rng.uniform(0.0, 1e5)
        self._readings = SensorReadings(self._task)
        loop = ControlLoop(self._task, self._select_action, None, veto=self._veto)
        self._cycle = EpisodeCycle(
            task=self._task,
            control_loop=loop,
            readings=self._readings,
            intervention=Intervention(timeout_s=self._max_age_s),
            link=self,
            resets_between_episodes=False,
            reset_settle_s=0.0,
            max_late_s=MAX_LATE_PERIODS * self._task.control_period_s,
            clock=lambda: self._now_s,
        )
        self._is_active = True
        self._cycle.start(self._now_s)

    def _strike(self, kind: Kind) -> None:
        """Do what happens once, at the moment of the fault."""
        if self._fault.presses_stop:
            self.fault("pressed")
        if self._fault.restarts_robot:
            self._robot.reset(self._rng)
            self._clock_s = -self._now_s  # counts from zero again
        if self._fault.tick_delay_s:
            self._advance(self._fault.tick_delay_s)
            self._onset_s = self._now_s

    def _release(self) -> None:
        if self._cycle.phase is Phase.LATCHED:
            self._cycle.release(self._now_s)
            self._judge.start_anew()  # it goes on from where the robot is
        if not self._is_active:
            self._is_active = True
            self._judge.start_anew()  # a robot left alone is taken over from where it is
            self._cycle.start(self._now_s)

    def _note_reaction(self, kind: Kind, bound_s: float) -> None:
        reaction_s = self._reacted_s - self._onset_s
        tally = self._tally
        tally.bound_s = max(tally.bound_s, bound_s)
        if math.isfinite(reaction_s):
            tally.reactions_s.append(reaction_s)
        if kind.required is not Required.NOTHING and not reaction_s <= bound_s + 1e-9:
            tally.num_late += 1

    def _run_for(self, duration_s: float) -> None:
        """Tick once a control period, which is when the robot has moved on by as much."""
        until_s = self._now_s + duration_s
        while self._now_s < until_s:
            self._advance(self._task.control_period_s)
            self._deliver()
            self._tally.num_ticks += 1
            if self._is_active:
                try:
                    self._cycle.act(self._now_s)
                except Exception as error:  # as in PolicyNode: the edge of a callback
                    self.fault(repr(error))

    def _advance(self, duration_s: float) -> None:
        """Let time pass for the robot and its messages."""
        num_steps = max(1, round(duration_s / self._robot.timestep_s))
        for step in range(1, num_steps + 1):
            self._robot.step()
            self._now_s += self._robot.timestep_s
            if step % self._stride == 0 or step == num_steps:
                self._send()

    def _send(self) -> None:
        state = State(
            self._robot.joint_names,
            self._robot.position,
            self._robot.velocity,
            self._clock_s + self._now_s,
        )
        forward = self._fault.forward
        deliveries = [(0.0, state)] if forward is None else forward(state, self._now_s)
        for delay_s, delivered in deliveries:
            arrival_s = self._now_s + delay_s + self._rng.uniform(0.0, 1e-6)
            self._num_sent += 1
            heapq.heappush(self._on_the_way, (arrival_s, self._num_sent, delivered))

    def _deliver(self) -> None:
        """Hand over what has arrived since the node last ran; it sees each as arriving then."""
        while self._on_the_way and self._on_the_way[0][0] <= self._now_s + 1e-6:
            arrival_s, _, state = heapq.heappop(self._on_the_way)
            # A node that was held up finds its last message only, and takes it for new.
            is_lost = self._now_s - arrival_s > 1.5 * self._task.control_period_s
            if is_lost and self._on_the_way and self._on_the_way[0][0] <= self._now_s:
                continue
            seen_s = self._now_s if is_lost else min(arrival_s, self._now_s)
            topic = self._task.readings[0].topic
            with suppress(MessageError):  # PolicyNode warns of it
                self._cycle.receive(topic, _Message(state), state.stamp_s, seen_s)

    def _select_action(self, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        action = self._policy.mode(obs)
        if self._fault.inference_s:
            # The world goes on while the policy computes.
            self._advance(self._fault.inference_s)
            self._fault = NO_FAULT
            self._onset_s = self._now_s
        return action if self._fault.act is None else self._fault.act(action)

    def _veto(self, command: NDArray[np.float64], readings: Readings) -> str | None:
        return None if self._fault.veto is None else self._fault.veto()


class _Message:
    """The fields of a JointState that are read."""

    def __init__(self, state: State) -> None:
        self.name = state.name
        self.position = state.position
        self.velocity = state.velocity
        self.effort: tuple[float, ...] = ()
