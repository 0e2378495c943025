import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sac_ros.task.action_spec import ActionSpec
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping
from sac_ros.task.task_spec import TaskError, TaskSpec, generic_task, load_task

SHIPPED = sorted(file.stem for file in (package_share() / "config" / "tasks").glob("*.yaml"))


def changed(tmp_path: Path, change: str) -> str:
    """Load hopper with one line of Python run on its mapping; return why it was refused."""
    mapping = yaml.safe_load((package_share() / "config/tasks/hopper.yaml").read_text())
    exec(change, {"task": mapping})
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(mapping))
    with pytest.raises(ConfigError) as caught:
        load_task(str(path))
    assert "changed.yaml" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_task_survives_the_way_through_a_contract(name: str) -> None:
    task = load_task(name)
    assert parse_mapping(to_mapping(task), TaskSpec, "contract") == task


def test_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(TaskError, match="half_cheetah"):
        load_task("half_cheeta")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("task['observation'][0]['joint'] = []", "unknown keys"),
        ("task['observation'][0]['field'] = 'positions'", "'positions'"),
        ("task['observation'][0]['topic'] = '/joint_states'", "absolute"),
        ("task['observation'][0]['joints'] = []", "a JointState needs them"),
        ("task['observation'][2]['joints'] = ['leg_joint', 'leg_joint']", "names a joint twice"),
        ("task['observation'][0]['max_age_s'] = 0.0", "max_age_s"),
        ("task['observation'][0]['max_frozen_s'] = -1.0", "max_frozen_s"),
        ("task['observation'][3]['clip'] = [1.0, -1.0]", "clip"),
        ("task['observation'][0]['scale'] = 0.0", "scale"),
        ("task['observation'][0]['history'] = 0", "history"),
        ("task['observation'][1]['name'] = 'root_height'", "share a name"),
        ("task['action']['on_fault'] = 'hold'", "hold would not stop"),
        ("task['action']['on_fault'] = 'damp'", "damping for each joint"),
        ("task['action']['ramp_s'] = 0.0", "ramp_s"),
        ("task['action']['damping'] = [1.0]", "1 entries for 3 joints"),
        ("task['action']['joint_limits'] = [{'joint': 'rootz'}]", "joint_limits names"),
        ("task['action']['joint_limits'] = [{'joint': 'foot_joint'}] * 2", "a joint twice"),
        (
            "task['action']['joint_limits'] = [{'joint': 'foot_joint', 'velocity': -1.0}]",
            "must be positive",
        ),
        ("task['observation'] = []", "no channels"),
        ("task['action']['high'][0] = -300.0", "must lie below"),
        ("task['action']['low'].pop()", "entries for 3 joints"),
        ("task['action']['high'][0] = float('inf')", "action: high[0] is inf, expected a finite"),
        ("task['observation'][0]['max_age_s'] = float('inf')", "max_age_s is inf, expected a"),
        ("task['reward'][0]['weight'] = float('nan')", "weight is nan, expected a finite number"),
        ("task['action']['safe_command'][0] = 500.0", "safe_command"),
        ("task['action']['rate_limit'] = [1.0, 1.0, 0.0]", "rate_limit"),
        ("task['action']['low_pass_hz'] = -1.0", "low_pass_hz"),
        ("task['action']['type'] = 'geometry_msgs/msg/Twist'", "linear.x"),
        ("task['reward'][1]['reading'] = 'root_positon'", "'root_positon'"),
        ("task['reward'][0]['term'] = 'alife'", "'alife'"),
        ("task['reward'][0]['weight'] = float('nan')", "finite"),
        ("task['reward'][0]['reading'] = 'root_height'", "reads nothing"),
        ("task['reward'][1]['target'] = [1.0]", "no target"),
        (
            "task['reward'][0] = {'term': 'error_squared', 'reading': 'joint_angles',"
            " 'target': [0.0], 'weight': -1.0}",
            "1 entries for the 3 of 'joint_angles'",
        ),
        ("task['termination'][0]['reading'] = 'height'", "'height'"),
        ("del task['termination'][0]['low']", "needs low, high or both"),
        ("task['termination'][1]['low'] = 0.3", "low < high"),
        ("task['simulator']['reset_position_noise'] = -0.1", "reset_position_noise"),
        ("task['simulator']['mjcf'] = 'hopper.xml'", "exactly one"),
        ("task['control_period_s'] = 0.0", "control_period_s"),
        ("task['control_period_s'] = '8e-3'", "write 8.0e-3"),
        ("task['max_episode_steps'] = 0", "max_episode_steps"),
    ],
)
def test_contradiction_in_a_task_file_is_refused(tmp_path: Path, change: str, reason: str) -> None:
    assert reason in changed(tmp_path, change)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: replace(t, control_period_s=0.01),
        lambda t: replace(t, observation=t.observation[::-1]),
        lambda t: replace(
            t, observation=(replace(t.observation[0], scale=2.0), *t.observation[1:])
        ),
        lambda t: replace(
            t, observation=(replace(t.observation[0], history=2), *t.observation[1:])
        ),
        lambda t: replace(t, action=replace(t.action, joints=t.action.joints[::-1])),
        lambda t: replace(t, action=replace(t.action, high=(210.0, 200.0, 200.0))),
        lambda t: replace(t, action=replace(t.action, low_pass_hz=10.0)),
    ],
)
def test_fingerprint_changes_with_what_a_policy_depends_on(change) -> None:  # noqa: ANN001
    task = load_task("hopper")
    assert change(task).fingerprint != task.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda t: replace(t, name="my_hopper"),
        lambda t: replace(t, reward=()),
        lambda t: replace(t, observation=tuple(replace(c, topic="x/y") for c in t.observation)),
        lambda t: replace(t, action=replace(t.action, safe_command=(1.0, 0.0, 0.0))),
    ],
)
def test_fingerprint_ignores_what_belongs_to_the_robots_owner(change) -> None:  # noqa: ANN001
    task = load_task("hopper")
    assert change(task).fingerprint == task.fingerprint


def test_generic_task_has_a_safe_command_inside_its_limits() -> None:
    task = generic_task(
        gymnasium_id="X-v0",
        obs_dim=3,
        action_low=(1.0, -2.0),
        action_high=(4.0, 2.0),
        control_period_s=0.05,
        max_steps=10,
    )
    assert (task.obs_dim, task.action_dim) == (3, 2)
    assert task.action.safe_command == (1.0, 0.0)


def test_position_without_a_reaction_is_held_and_the_others_get_the_safe_command() -> None:
    arm = load_task("two_joint_arm").action
    values = {field.name: getattr(arm, field.name) for field in dataclasses.fields(arm)}
    del values["on_fault"]
    assert ActionSpec(**values).on_fault == "hold"
    values.update(kind="velocity", joint_limits=())
    assert ActionSpec(**values).on_fault == "safe_command"


def test_program_cannot_switch_the_age_check_off_either() -> None:
    reading = load_task("hopper").observation[0]
    with pytest.raises(ValueError, match="max_age_s"):
        replace(reading, max_age_s=float("inf"))


def test_all_mistakes_of_a_task_file_are_listed_at_once(tmp_path: Path) -> None:
    refusal = changed(
        tmp_path,
        "del task['name']; task['observation'][1]['unit'] = 3; task['action']['high'][2] = 'x';"
        " task['reward'][0]['wieght'] = 1.0; task['control_period_s'] = True",
    )
    lines = refusal.splitlines()
    assert len(lines) == 5 and all("changed.yaml" in line for line in lines)
    for part in ("missing keys ['name']", "observation[1]: unit", "high[2]", "'weight'", "True"):
        assert part in refusal
