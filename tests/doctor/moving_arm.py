"""The simulated arm, moved about and recorded: a healthy robot, to plant faults into."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from linear_policy import linear_contract, linear_model, sealed

from sac_ros.doctor.recording import Endpoint, Recording, Sample, TopicRecord
from sac_ros.task.observation import ObservationBuilder
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.robot.mujoco_robot import MujocoRobot

ARM = load_task("two_joint_arm")
STATES, COMMANDS = "joint_states", "joint_commands"
DURATION_S = 4.0
NO_GAIN = np.zeros((ARM.action_dim, ARM.obs_dim))


def joint_state(
    names: list[str], position: np.ndarray, velocity: np.ndarray, stamp_s: float
) -> SimpleNamespace:
    """Return what a JointState message looks like to its reader."""
    stamp = SimpleNamespace(sec=int(stamp_s), nanosec=int(1e9 * (stamp_s % 1.0)))
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        name=names,
        position=list(position),
        velocity=list(velocity),
        effort=[],
    )


def wanted_position(time_s: float) -> np.ndarray:
    """Where somebody else's controller moves the arm; the joints do not move in step."""
    return np.array([1.1 * np.sin(2.0 * time_s), -0.9 + 0.5 * np.sin(3.1 * time_s + 1.0)])


def move(robot: MujocoRobot, each: Callable[[float, np.ndarray], None]) -> None:
    """Move the simulated arm; `each` sees every physics step."""
    robot.reset(np.random.default_rng(0))
    for step in range(round(DURATION_S / robot.timestep_s)):
        time_s = step * robot.timestep_s
        robot.set_command(wanted_position(time_s))
        robot.step()
        each(time_s, wanted_position(time_s))


def record_arm() -> Recording:
    """Return what a healthy arm and its present controller publish."""
    robot = MujocoRobot(ARM)
    states, commands = TopicRecord(), TopicRecord()
    rng = np.random.default_rng(1)

    def note(time_s: float, command: np.ndarray) -> None:
        arrival_s = 50.0 + time_s + rng.uniform(0.0, 1e-3)
        message = joint_state(
            list(robot.joint_names), robot.position, robot.velocity, 1000.0 + time_s
        )
        states.samples.append(Sample(arrival_s, 1000.0 + time_s, message))
        commands.samples.append(Sample(arrival_s, None, SimpleNamespace(data=list(command))))

    move(robot, note)
    robot.close()
    state_type, command_type = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
    states.publishers.append(endpoint("/driver", state_type))
    states.subscribers.append(endpoint("/logger", state_type, is_reliable=False))
    commands.subscribers.append(endpoint("/controller", command_type))
    return Recording(
        source="test",
        duration_s=DURATION_S,
        topics={STATES: states, COMMANDS: commands},
        knows_graph=True,
    )


def endpoint(
    node: str, type_name: str, *, is_reliable: bool = True, is_latched: bool = False
) -> Endpoint:
    """Return a publisher or subscriber as most are."""
    return Endpoint(node=node, type=type_name, is_reliable=is_reliable, is_latched=is_latched)


def arm_policy(folder: Path, task: TaskSpec = ARM) -> Path:
    """Write a policy whose training saw the arm in this motion."""
    robot, builder = MujocoRobot(ARM), ObservationBuilder(ARM.observation)
    seen: list[np.ndarray] = []
    move(robot, lambda time_s, command: seen.append(builder.build(robot.readings())))
    robot.close()
    contract = replace(
        linear_contract(task, NO_GAIN, -3.0),
        obs_low=tuple(np.min(seen, axis=0).astype(float)),
        obs_high=tuple(np.max(seen, axis=0).astype(float)),
    )
    path = folder / "arm.onnx"
    path.write_bytes(sealed(linear_model(task, NO_GAIN, -3.0), contract.to_json()))
    return path
