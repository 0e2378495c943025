"""How fast a simulated robot may go for a learner that must keep up."""

import pytest

from sim_training.robot_node.simulation_speed import MIN_SPEED_FACTOR, simulation_speed_factor


@pytest.mark.parametrize(
    ("phase", "owed", "pace"),
    [
        ("tuning", 0, 1.0),
        ("tuning", 150, 1.0),
        ("tuning", 400, 0.5),
        ("critic", 400, 0.5),
        ("critic", 10**6, MIN_SPEED_FACTOR),
        ("warm_up", 3000, 1.0),
        ("compiling", 3000, 1.0),
    ],
)
def test_pace_falls_with_the_updates_that_could_be_taken(
    phase: str, owed: int, pace: float
) -> None:
    assert simulation_speed_factor({"phase": phase, "updates owed": str(owed)}) == pytest.approx(
        pace
    )


def test_nothing_is_waited_for_that_says_nothing() -> None:
    assert simulation_speed_factor({}) == 1.0
