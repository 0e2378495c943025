import math
from dataclasses import replace

import pytest

from sac_ros.nodes.health.statuses import Level, Status
from sac_ros.nodes.learning.learner_health import (
    DISK_ERROR_BYTES,
    DISK_WARN_BYTES,
    RATE_WINDOW_S,
    LearnerHealth,
    LearnerReport,
)
from sac_ros.policy.updates.policy_status import PolicyStatus

WELL = LearnerReport(
    at_s=100.0,
    phase="tuning",
    is_learning=True,
    paused=None,
    metrics={"qf_loss": 1.0, "alpha": 0.01},
    num_updates=0,
    updates_owed=10,
    max_updates_owed=1000,
    num_dropped=0,
    utd_ratio=1.0,
    robot_steps=0,
    num_buffered=0,
    buffer_capacity=1000,
    num_demonstrations=0,
    heard_s=99.9,
    last_return=None,
    num_lost=0,
    num_out_of_order=0,
    num_refused=0,
    num_unsaved=0,
    free_bytes=DISK_WARN_BYTES,
    version=3,
    sent_s=90.0,
    best_version=None,
    best_return=None,
    robot=PolicyStatus(version=3, good_version=3, newest_version=3),
)
FIT = PolicyStatus(version=3, good_version=3)


def after(**change: object) -> dict[str, Status]:
    """Return the statuses, by name, of a learner that was well a second before this change."""
    health = LearnerHealth()
    health.diagnose(WELL)
    later = replace(WELL, at_s=101.0, heard_s=100.9, **change)  # type: ignore[arg-type]
    return {status.name: status for status in health.diagnose(later)}


def test_learner_without_trouble_is_ok_in_every_part() -> None:
    assert {status.level for status in after().values()} == {Level.OK}


@pytest.mark.parametrize(
    ("part", "level", "change"),
    [
        ("learning", Level.ERROR, {"paused": "rolled back"}),
        ("learning", Level.ERROR, {"metrics": {"qf_loss": math.inf}}),
        ("learning", Level.ERROR, {"metrics": {"alpha": math.nan}}),
        ("learning", Level.WARN, {"num_dropped": 1}),
        ("learning", Level.WARN, {"updates_owed": 501}),
        ("learning", Level.OK, {"updates_owed": 501, "is_learning": False}),
        ("transitions", Level.ERROR, {"num_unsaved": 1}),
        ("transitions", Level.ERROR, {"free_bytes": DISK_ERROR_BYTES - 1}),
        ("transitions", Level.WARN, {"free_bytes": DISK_WARN_BYTES - 1}),
        ("transitions", Level.WARN, {"num_refused": 1}),
        ("transitions", Level.WARN, {"num_lost": 1}),
        ("policies", Level.WARN, {"robot": None}),
        ("policies", Level.WARN, {"robot": replace(FIT, num_refused=1, refusal="too wild")}),
        ("policies", Level.ERROR, {"robot": replace(FIT, is_rolled_back=True, reason="fell")}),
    ],
)
def test_each_trouble_is_told_by_its_own_part(
    part: str, level: Level, change: dict[str, object]
) -> None:
    statuses = after(**change)
    assert statuses[part].level is level
    assert all(s.level is Level.OK for name, s in statuses.items() if name != part)


def test_silent_robot_is_a_warning_and_one_never_heard_another() -> None:
    health = LearnerHealth()
    silent, never = (
        next(s for s in health.diagnose(replace(WELL, heard_s=at_s)) if s.name == "transitions")
        for at_s in (89.0, -math.inf)
    )
    assert silent.level is never.level is Level.WARN
    assert silent.message == "no transition for 11 s" and never.message == "no transition yet"


def test_old_trouble_is_counted_but_no_warning_any_more() -> None:
    health = LearnerHealth()
    troubled = replace(WELL, num_lost=5, num_dropped=7, num_refused=2, num_unsaved=1)
    health.diagnose(troubled)
    statuses = {status.name: status for status in health.diagnose(troubled)}
    assert {status.level for status in statuses.values()} == {Level.OK}
    assert statuses["transitions"].values["transitions lost"] == 5
    assert statuses["learning"].values["updates dropped"] == 7


def test_rates_are_means_over_the_window_only() -> None:
    health = LearnerHealth()
    steps, updates = 0, 0
    for second in range(100):
        steps += 50
        updates += 10 if second < 100 - RATE_WINDOW_S - 1 else 25
        statuses = health.diagnose(
            replace(WELL, at_s=float(second), robot_steps=steps, num_updates=updates)
        )
    values = statuses[0].values
    assert values["updates a second"] == "25.00" and values["robot steps a second"] == "50.00"
    assert values["updates a robot step"] == "0.500"
