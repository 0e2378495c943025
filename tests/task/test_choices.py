"""Tasks whose commands are chosen from a list."""

from dataclasses import replace

import numpy as np
import pytest

from sac_ros.task.action import ActionScaling
from sac_ros.task.task_spec import load_task

TASK = load_task("inverted_pendulum_three_forces")


def test_choices_are_actions_like_any_other() -> None:
    scaling = ActionScaling(TASK.action)

    actions = scaling.actions_of_choices()

    assert actions is not None
    np.testing.assert_allclose(actions, [[-1.0 / 6.0], [0.0], [1.0 / 6.0]])
    np.testing.assert_allclose(scaling.to_command(actions), TASK.action.choices)


def test_task_without_choices_has_none() -> None:
    assert ActionScaling(load_task("half_cheetah").action).actions_of_choices() is None


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (((0.0,),), "two or more"),
        ((), "two or more"),
        (((1.0,), (1.0,)), "differ"),
        (((-400.0,), (0.0,)), "within low..high"),
        (((float("nan"),), (0.0,)), "within low..high"),
        (((0.0, 0.0), (1.0, 0.0)), "each of 1 joints"),
    ],
)
def test_choices_that_cannot_be_commanded_are_refused(
    choices: tuple[tuple[float, ...], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(TASK.action, choices=choices)


def test_policies_of_other_choices_do_not_fit() -> None:
    stronger = replace(TASK, action=replace(TASK.action, choices=((-60.0,), (0.0,), (60.0,))))

    assert stronger.fingerprint != TASK.fingerprint
    assert load_task("inverted_pendulum").fingerprint != TASK.fingerprint
