"""A command does in a model what it does on the robot, or the model is refused."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sac_ros.task.task_spec import TaskError, TaskSpec, load_task
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import Perturbation

ARM = load_task("two_joint_arm")
ELBOW = '<position joint="elbow" kp="40" kv="3"/>'


def task_of(folder: Path, actuators: str, kind: str = "position", **changes: object) -> TaskSpec:
    """Return the arm's task with other actuators in its model."""
    model = Path(ARM.simulator.mjcf or "").read_text()
    tendon = '<tendon><fixed name="cable"><joint joint="elbow" coef="1"/></fixed></tendon>'
    model = re.sub(
        r"<actuator>.*</actuator>", f"{tendon}<actuator>{actuators}</actuator>", model, flags=re.S
    )
    path = folder / "arm.xml"
    path.write_text(model)
    action = replace(ARM.action, kind=kind, joint_limits=(), on_fault="safe_command", **changes)  # type: ignore[arg-type]  # a test's own
    return replace(ARM, action=action, simulator=replace(ARM.simulator, mjcf=str(path)))


def hold(robot: MujocoRobot, command: np.ndarray, steps: int) -> None:
    """Command this from the start pose on."""
    robot.reset(np.random.default_rng(0))
    robot.set_command(command)
    for _ in range(steps):
        robot.step()


@pytest.mark.parametrize(
    ("actuators", "reason"),
    [
        (f'<motor joint="shoulder"/>{ELBOW}', "the position of joint 'shoulder'.*takes an? effort"),
        (f'<velocity joint="shoulder" kv="3"/>{ELBOW}', "'shoulder'.*takes a velocity"),
        (
            f'<position name="a" joint="shoulder"/><velocity name="b" joint="shoulder"/>{ELBOW}',
            r"'shoulder' has the actuators \['a', 'b'\]",
        ),
        (
            f'<position joint="shoulder" ctrlrange="-2.5 2"/>{ELBOW}',
            "'shoulder' from -2.5 to 2.5 rad.*takes -2.5 to 2;",
        ),
        (f'<position joint="shoulder" gear="0"/>{ELBOW}', "'shoulder' has a gain or gear of 0"),
        (
            '<position joint="shoulder"/><position tendon="cable"/>',
            r"no actuator drives \['elbow'\]; the model's drive \['shoulder'\]",
        ),
    ],
)
def test_model_that_makes_something_else_of_a_command_is_refused(
    tmp_path: Path, actuators: str, reason: str
) -> None:
    with pytest.raises(TaskError, match=reason):
        MujocoRobot(task_of(tmp_path, actuators))


def test_equal_limits_in_other_units_are_not_narrower(tmp_path: Path) -> None:
    motors = "".join(
        f'<motor joint="{joint}" gear="0.3" ctrlrange="-7 7"/>' for joint in ARM.action.joints
    )

    MujocoRobot(task_of(tmp_path, motors, "effort", low=(-2.1, -2.1), high=(2.1, 2.1)))


@pytest.mark.parametrize(
    "perturbation", [Perturbation(), Perturbation(actuator_gain=0.5)], ids=["nominal", "weak"]
)
def test_effort_that_is_commanded_is_the_joints_whatever_gain_and_gear(
    tmp_path: Path, perturbation: Perturbation
) -> None:
    actuators = '<motor joint="shoulder" gear="-4"/><general joint="elbow" gainprm="3" gear="5"/>'
    robot = MujocoRobot(task_of(tmp_path, actuators, "effort"), perturbation)
    command = np.array([1.5, -0.75])

    hold(robot, command, steps=1)

    np.testing.assert_allclose(robot.effort, perturbation.actuator_gain * command)


@pytest.mark.parametrize("servo", ['gear="1"', 'gear="-2"', 'gear="1" dampratio="1"'])
def test_servo_goes_where_it_is_commanded_whatever_its_gear(tmp_path: Path, servo: str) -> None:
    actuators = "".join(
        f'<position joint="{joint}" kp="200" {servo}/>' for joint in ARM.action.joints
    )
    robot = MujocoRobot(task_of(tmp_path, actuators), Perturbation(gravity=0.0, joint_damping=8.0))
    command = np.array([0.7, -0.4])

    hold(robot, command, steps=2000)  # 10 s

    np.testing.assert_allclose(robot.position, command, atol=0.01)


def test_velocity_servo_turns_as_fast_as_it_is_commanded(tmp_path: Path) -> None:
    actuators = "".join(
        f'<velocity joint="{joint}" kv="20" gear="3"/>' for joint in ARM.action.joints
    )
    robot = MujocoRobot(task_of(tmp_path, actuators, "velocity"), Perturbation(gravity=0.0))
    command = np.array([0.3, -0.2])

    hold(robot, command, steps=100)  # 0.5 s

    np.testing.assert_allclose(robot.velocity, command, atol=0.02)


@pytest.mark.parametrize(
    ("motor", "joint", "limit"),
    [
        ('forcerange="-2 2"', "", "forcerange"),
        ('forcerange="-1 1" gear="2"', "", "forcerange"),
        ('forcerange="-9 2"', "", "forcerange"),
        ("", 'actuatorfrcrange="-2 2"', "actuatorfrcrange"),
    ],
)
def test_limit_on_the_force_is_a_limit_on_a_commanded_effort(
    tmp_path: Path, motor: str, joint: str, limit: str
) -> None:
    actuators = f'<motor joint="shoulder" {motor}/><motor joint="elbow"/>'
    task = task_of(tmp_path, actuators, "effort", unit="N m")
    path = Path(task.simulator.mjcf or "")
    path.write_text(path.read_text().replace('name="shoulder"', f'name="shoulder" {joint}'))
    with pytest.raises(TaskError, match=f"to 2; narrow the action's low and high.*{limit}"):
        MujocoRobot(task)


def test_servo_with_a_limited_force_takes_every_position(tmp_path: Path) -> None:
    servo = '<position joint="shoulder" kp="40" kv="3" forcerange="-2 2"/>'
    MujocoRobot(task_of(tmp_path, servo + ELBOW)).close()
