"""Compute transitions from a recorded run, with the same code as on the robot."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sac_ros.bags.bag_reader import BagError
from sac_ros.bags.recorded_run import RecordedRun, Tick
from sac_ros.bags.sampler import Sampler
from sac_ros.policy.observation_pacer import ObservationPacer
from sac_ros.task.action import ActionScaling, exceeds_limits
from sac_ros.task.experience import Experience
from sac_ros.task.observation import ObservationError
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.transition import Transition

GAP_INTERVALS = 1.75
"""A gap: two commands are further apart than this, in median intervals of commands..."""
GAP_PERIODS = 1.5
"""...and their sensor stamps are further apart than this, in control periods."""
FAST, SLOW = 0.75, 1.35
"""Limits of the command interval, in control periods: below FAST, some commands are skipped; above
SLOW, the bag is refused."""


@dataclass(frozen=True)
class ReplayedStep:
    """A computed transition, and the one that the node published, if it is in the bag."""

    transition: Transition
    sent: Transition | None


class Replay:
    """Replays a run step by step; `left_out` counts, by reason, what gives no transition."""

    def __init__(self, task: TaskSpec, run: RecordedRun, max_episode_steps: int | None) -> None:
        self._task = task
        self._run = run
        self._max_episode_steps = max_episode_steps
        self._scaling = ActionScaling(task.action)
        self.left_out: Counter[str] = Counter()
        self.num_episodes = 0

    def steps_by_stamps(self, sampler: Sampler) -> Iterator[ReplayedStep]:
        """Yield the steps for which the node published the stamps of its sensor messages."""
        # After an unknown start, wait until history and previous action are from the bag.
        depth = max(channel.history for channel in self._task.observation) - 1
        if any(term.term == "action_rate_squared" for term in self._task.reward):
            depth = max(depth, 1)
        experience = Experience(self._task, None)
        before: tuple[int, int, int] | None = None
        num_unsure = 0
        for tick in self._run.ticks:
            if tick.position is None:
                before = None
                continue
            run, episode, step = tick.position
            if before != (run, episode, step - 1):
                if step > 0 and tick.sent is not None:
                    self.left_out["steps whose begin is not in the bag"] += 1
                before, num_unsure = None, 0 if step == 0 else depth
                experience.start_episode()
                self.num_episodes += 1
            readings = sampler.at(tick)
            if readings is None:
                self.left_out["steps whose sensor messages are not in the bag"] += 1
                before = None
                continue
            try:
                observed = experience.observe(readings)
            except ObservationError:
                self.left_out["steps whose readings cannot be used"] += 1
                before = None
                continue
            if before is not None and observed.complete_step is not None:
                transition = self._as_the_node_counted(observed.complete_step(), tick, step - 1)
                if num_unsure > 0:
                    num_unsure -= 1
                    self.left_out["steps that depend on what is not in the bag"] += 1
                else:
                    yield ReplayedStep(transition, tick.sent)
            is_over = tick.sent is not None and (tick.sent.terminated or tick.sent.truncated)
            before = None
            if not is_over and observed.termination_reason is None and self._is_usable(tick):
                assert tick.command is not None
                experience.execute(observed, tick.command)
                before = tick.position

    def steps_by_arrival(self, sampler: Sampler, speed: float) -> Iterator[ReplayedStep]:
        """Yield steps between commands; `speed` is robot seconds per recorder second.

        Raises BagError if the command rate is too low for the task.
        """
        ticks, period_s = self._run.ticks, self._task.control_period_s
        intervals_ns = np.diff([tick.received_ns for tick in ticks])
        interval_ns = float(np.median(intervals_ns)) if len(intervals_ns) else 0.0
        interval_s = 1e-9 * interval_ns * speed
        if interval_s > SLOW * period_s:
            raise BagError(
                f"commands arrive every {interval_s:.3g} s, but the task's control period is"
                f" {period_s} s; record commands at that rate or faster"
            )
        pacer = ObservationPacer(period_s) if interval_s < FAST * period_s else None
        experience = Experience(self._task, self._max_episode_steps)
        last: tuple[int, float | None] | None = None
        for tick in ticks:
            sampler.arrived(tick.received_ns)
            now_s = 1e-9 * tick.received_ns
            is_contiguous = last is not None and not self._is_gap(
                last, tick.received_ns, sampler.robot_s, interval_ns
            )
            if last is not None and not is_contiguous:
                self.left_out["breaks where commands paused or time went back"] += 1
            if not is_contiguous:
                self._begin(experience, pacer)
            last = (tick.received_ns, sampler.robot_s)
            if tick.is_estopped:
                self._drop(experience, "commands during an emergency stop")
                continue
            problem = sampler.readings.problem(now_s)
            if problem is not None:
                self._drop(experience, "commands while readings were missing or too old")
                continue
            time_s = now_s * speed if sampler.robot_s is None else sampler.robot_s
            if pacer is not None and not pacer.is_due(time_s):
                self.left_out["commands between two control steps"] += 1
                continue
            try:
                observed = experience.observe(sampler.readings.snapshot())
            except ObservationError:
                self._drop(experience, "commands whose readings cannot be used")
                continue
            if observed.complete_step is not None:
                yield ReplayedStep(observed.complete_step(), tick.sent)
            if observed.is_end or not self._is_usable(tick):
                self._begin(experience, pacer)
                continue
            if observed.step == 0:
                self.num_episodes += 1
            assert tick.command is not None
            experience.execute(observed, tick.command)

    def _as_the_node_counted(self, computed: Transition, tick: Tick, step: int) -> Transition:
        """Add what sensors do not show: step number, truncation, intervention, policy version."""
        is_timed_out = not computed.terminated and step + 1 == self._max_episode_steps
        sent = tick.sent
        if sent is None:
            return replace(computed, step=step, truncated=is_timed_out)
        if sent.terminated and not computed.terminated:
            # A person ended the episode by a service call, which is not recorded, nor its reward.
            self.left_out["ends that no sensor tells, taken over as the node sent them"] += 1
            computed = replace(computed, terminated=True, reward=sent.reward)
            is_timed_out = False
        return replace(
            computed,
            step=step,
            truncated=is_timed_out or (sent.aborted and not computed.terminated),
            aborted=sent.aborted and not computed.terminated,
            intervention=sent.intervention,
            policy=sent.policy,
        )

    def _is_usable(self, tick: Tick) -> bool:
        """Return whether a step can start with this command."""
        if tick.command is None:
            self.left_out["commands that are missing or none of this task"] += 1
            return False
        if exceeds_limits(self._scaling.to_action(tick.command)):
            self.left_out["commands outside of the task's limits"] += 1
            return False
        return True

    def _is_gap(
        self,
        last: tuple[int, float | None],
        received_ns: int,
        robot_s: float | None,
        interval_ns: float,
    ) -> bool:
        is_late = received_ns - last[0] > GAP_INTERVALS * interval_ns
        if robot_s is None or last[1] is None:
            return is_late
        passed_s = robot_s - last[1]
        is_long = passed_s > GAP_PERIODS * self._task.control_period_s
        return passed_s < 0.0 or (is_late and is_long)

    def _drop(self, experience: Experience, reason: str) -> None:
        self.left_out[reason] += 1
        experience.start_episode()

    def _begin(self, experience: Experience, pacer: ObservationPacer | None) -> None:
        experience.start_episode()
        if pacer is not None:
            pacer.reset()
