"""Gymnasium's own checker on every environment that this package makes."""

import warnings

import pytest
from gymnasium.utils.env_checker import check_env

from sac_ros.task.package_share import package_share
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.environments.env import gymnasium_task, make_env

TASKS = sorted(path.stem for path in (package_share() / "config" / "tasks").glob("*.yaml"))
MEANT = (
    # What a robot may measure is not for the simulator to bound.
    "A Box observation space m(in|ax)imum value is -?infinity",
    # The wrapper is what is to be checked: it is ours.
    "is different from the unwrapped version",
)


def assert_passes(task: TaskSpec) -> None:
    with warnings.catch_warnings():
        for message in MEANT:
            warnings.filterwarnings("ignore", message=f".*{message}")
        check_env(make_env(task), skip_render_check=True)


@pytest.mark.parametrize("name", TASKS)
def test_environment_of_a_task_passes(name: str) -> None:
    assert_passes(load_task(name))


def test_environment_without_a_task_file_passes() -> None:
    assert_passes(gymnasium_task("Pendulum-v1"))
