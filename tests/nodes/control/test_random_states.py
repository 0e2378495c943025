"""Cycle and filter through random sequences of all events; hypothesis shortens what it finds."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks.faults.random_states import REACTIONS, RandomWorld, make_task

ROBOTS = [(kind, on_fault) for kind, faults in REACTIONS.items() for on_fault in faults]


class AllEvents(RuleBasedStateMachine):
    """Anything may happen to the robot and its node at any time."""

    @initialize(
        robot=st.sampled_from(ROBOTS),
        seed=st.integers(0, 2**16),
        in_episodes=st.booleans(),
        fade_in_s=st.sampled_from([0.0, 0.1]),
    )
    def begin(self, robot: tuple[str, str], seed: int, in_episodes: bool, fade_in_s: float) -> None:
        rng = np.random.default_rng(seed)
        task = make_task(*robot)  # type: ignore[arg-type]  # kind and reaction of REACTIONS
        self.world = RandomWorld(task, rng, in_episodes=in_episodes, fade_in_s=fade_in_s)
        self.world.activate()

    @rule(num=st.integers(1, 15))
    def steps(self, num: int) -> None:
        for _ in range(num):
            self.world.step()

    @rule()
    def come_late(self) -> None:
        self.world.come_late()

    @rule()
    def press(self) -> None:
        self.world.press()

    @rule()
    def release(self) -> None:
        self.world.release()

    @rule()
    def end_episode(self) -> None:
        self.world.end_episode()

    @rule()
    def take_over(self) -> None:
        self.world.take_over()

    @rule()
    def change_sensor(self) -> None:
        self.world.change_sensor()

    @rule()
    def change_policy(self) -> None:
        self.world.change_policy()

    @rule()
    def deactivate(self) -> None:
        self.world.deactivate()

    @rule()
    def activate(self) -> None:
        self.world.activate()

    @rule()
    def answer_reset(self) -> None:
        self.world.answer_reset()

    @rule()
    def move_robot(self) -> None:
        self.world.move_robot()

    @invariant()
    def nothing_was_unsafe(self) -> None:
        world = getattr(self, "world", None)
        assert world is None or not world.judge.violations, dict(world.judge.violations)


AllEvents.TestCase.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
TestAllEvents = AllEvents.TestCase


def test_judge_finds_what_is_unsafe() -> None:
    world = RandomWorld(make_task("position", "hold"), np.random.default_rng(0), in_episodes=False)
    world.activate()
    for _ in range(5):
        world.step()
    assert not world.judge.violations
    world.judge.begin(0.0)
    for command in ([np.nan, 0.0], [3.0, 0.0], [-2.0, 2.0]):
        world.judge.see(np.array(command))
    assert world.judge.violations.keys() >= {"not finite", "outside of its limits"}
    assert "faster than its rate" in world.judge.violations
