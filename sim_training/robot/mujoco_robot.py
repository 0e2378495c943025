"""A MuJoCo model as a robot: joints and sensors by name, and commands in the task's unit.

Shapes: A action_dim, J joints.
"""

from collections import deque
from pathlib import Path
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

from sac_ros.task.task_spec import TaskError, TaskSpec
from sim_training.robot.command_stalls import CommandStalls
from sim_training.robot.model_actuators import find_actuators
from sim_training.robot.model_sensors import find_sensors
from sim_training.robot.mujoco_warnings import without_deprecation_warnings
from sim_training.robot.perturbation import NOMINAL, Perturbation
from sim_training.robot.perturbed_model import ONE_DOF_JOINTS, PerturbedModel
from sim_training.robot.pushes import Pushes


class _State(NamedTuple):
    """The true sensor values at one moment."""

    position: NDArray[np.float64]  # [J]
    velocity: NDArray[np.float64]  # [J]
    effort: NDArray[np.float64]  # [J]
    sensor_data: NDArray[np.float64]
    """MuJoCo's `sensordata`: the values of all sensors of the model."""


class MujocoRobot:
    """The simulated robot of one task, advanced one physics step at a time.

    With a gymnasium_id, model and start poses are those of the Gymnasium environment. With an MJCF
    file, they come from the file and the task's reset noise. A perturbation changes the model.
    """

    def __init__(self, task: TaskSpec, perturbation: Perturbation = NOMINAL) -> None:
        self.task = task
        self._env: MujocoEnv | None = None
        if task.simulator.gymnasium_id is not None:
            self._env = _mujoco_env(task.simulator.gymnasium_id)
            self.model, self.data = self._env.model, self._env.data
        else:
            self.model = _load_model(Path(task.simulator.mjcf or ""))
            self.data = mujoco.MjData(self.model)
        # On the unperturbed model: a weaker actuator gets the same control as the nominal one.
        self.actuators = find_actuators(self.model, task)
        self._perturbed_model = PerturbedModel(self.model, self.data)
        self._perturbation = NOMINAL
        if not perturbation.is_nominal:
            self.apply_perturbation(perturbation)
        self.steps_per_control = _whole_steps(task, self.timestep_s)
        # Delayed commands, one entry per physics step.
        self._delay_line: deque[NDArray[np.float64]] = deque()
        self._command = self._safe_command = np.array(task.action.safe_command)
        # The newest command is not yet in force while commands are stalled.
        self._newest_command = self._command
        # Delayed sensor values, one entry per physics step.
        self._sensor_line: deque[_State] = deque()
        self._late_state: _State | None = None
        self._pushes: Pushes | None = None
        self._stalls: CommandStalls | None = None
        self._noise_rng = np.random.default_rng(0)
        one_dof = [
            index
            for index in range(self.model.njnt)
            if self.model.jnt_type[index] in ONE_DOF_JOINTS
        ]
        self.joint_names = tuple(self.model.joint(index).name for index in one_dof)
        self._qpos_columns = self.model.jnt_qposadr[one_dof]
        self._dof_columns = self.model.jnt_dofadr[one_dof]
        self._columns = {
            reading.name: np.array([self._joint_index(joint) for joint in reading.joints])
            for reading in task.readings
            if reading.is_of_joints
        }
        self._sensors = find_sensors(self.model, task)

    @property
    def timestep_s(self) -> float:
        """Duration of one physics step."""
        return float(self.model.opt.timestep)

    def apply_perturbation(self, perturbation: Perturbation) -> None:
        """Apply a perturbation to model, delays, noise and pushes; `reset` must follow."""
        self._perturbation = perturbation
        self._perturbed_model.apply_perturbation(perturbation)

    def reset(self, rng: np.random.Generator) -> None:
        """Move the robot to a new start pose; it is at rest, except for the task's reset noise."""
        self._command = self._newest_command = self._safe_command
        changes = self._perturbation
        delay = changes.command_delay_steps * self.steps_per_control
        delay += round(changes.command_delay_s / self.timestep_s)
        self._delay_line = deque([self._safe_command] * delay)
        self._noise_rng = rng
        self._go_to_start(rng)
        delay = round(changes.observation_delay_s / self.timestep_s)
        self._late_state = self._true_state() if delay else None
        self._sensor_line = deque([self._true_state()] * delay)
        pushes = Pushes(self.model, self.data, changes.push_force_n, rng)
        self._pushes = pushes if changes.push_force_n > 0.0 else None
        self._stalls = None
        if changes.command_stall_s > 0.0:
            self._stalls = CommandStalls(changes.command_stall_s, self.timestep_s, rng)

    def _go_to_start(self, rng: np.random.Generator) -> None:
        if self._env is not None:
            self._env.reset(seed=int(rng.integers(2**31)))
            return
        keyframe = self.task.simulator.keyframe
        if keyframe is None:
            mujoco.mj_resetData(self.model, self.data)
        else:
            mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key(keyframe).id)
        position_noise = self.task.simulator.reset_position_noise
        velocity_noise = self.task.simulator.reset_velocity_noise
        count = len(self._qpos_columns)
        self.data.qpos[self._qpos_columns] += rng.uniform(-1.0, 1.0, count) * position_noise
        self.data.qvel[self._dof_columns] += rng.uniform(-1.0, 1.0, count) * velocity_noise
        mujoco.mj_forward(self.model, self.data)

    def set_command(self, command: NDArray[np.float64]) -> None:
        """Set the command [A], in the task's unit, for the next physics steps (after its delay)."""
        self._newest_command = command

    def step(self) -> None:
        """Advance by one physics step."""
        if self._stalls is None or not self._stalls.step():
            self._command = self._newest_command
        self._delay_line.append(self._command)
        actuators = self.actuators
        self.data.ctrl[actuators.indices] = self._delay_line.popleft() / actuators.units
        if self._pushes is not None:
            self._pushes.step()
        mujoco.mj_step(self.model, self.data)
        if self._late_state is not None:
            self._sensor_line.append(self._true_state())
            self._late_state = self._sensor_line.popleft()

    @property
    def position(self) -> NDArray[np.float64]:
        """Joint positions in the order of `joint_names`, in rad or m."""
        if self._late_state is not None:
            return self._with_noise(self._late_state.position)
        return self._with_noise(self.data.qpos[self._qpos_columns])

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Joint velocities in the order of `joint_names`, in rad/s or m/s."""
        if self._late_state is not None:
            return self._with_noise(self._late_state.velocity)
        return self._with_noise(self.data.qvel[self._dof_columns])

    @property
    def effort(self) -> NDArray[np.float64]:
        """Actuator efforts in the order of `joint_names`, in N m or N."""
        if self._late_state is not None:
            return np.array(self._late_state.effort)
        return np.array(self.data.qfrc_actuator[self._dof_columns])

    def sensor(self, name: str) -> NDArray[np.float64]:
        """Return the values [size] of a reading from a sensor, in the order of its ROS message.

        MuJoCo computes sensors before it integrates, so they are one physics step older than the
        joint states.
        """
        sensor, late = self._sensors[name], self._late_state
        values = (self.data.sensordata if late is None else late.sensor_data)[sensor.places]
        return values if sensor.is_orientation else self._with_noise(values)

    def readings(self) -> dict[str, NDArray[np.float64]]:
        """Return the task's readings directly, without ROS messages."""
        fields = {"position": self.position, "velocity": self.velocity, "effort": self.effort}
        return {
            reading.name: fields[reading.field][self._columns[reading.name]]
            if reading.is_of_joints
            else self.sensor(reading.name)
            for reading in self.task.readings
        }

    def close(self) -> None:
        """Close the Gymnasium environment, if there is one."""
        if self._env is not None:
            self._env.close()  # type: ignore[no-untyped-call]  # Gymnasium's

    def _true_state(self) -> _State:
        """Return copies of the current sensor values."""
        dofs = self._dof_columns
        return _State(
            position=self.data.qpos[self._qpos_columns],
            velocity=self.data.qvel[dofs],
            effort=self.data.qfrc_actuator[dofs],
            sensor_data=self.data.sensordata.copy(),
        )

    def _with_noise(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a copy of the values with new random noise."""
        deviation = self._perturbation.observation_noise
        if deviation == 0.0:
            return np.array(values)
        return values + self._noise_rng.normal(0.0, deviation, values.shape)

    def _joint_index(self, joint: str) -> int:
        if joint not in self.joint_names:
            raise TaskError(
                f"task {self.task.name!r} names joint {joint!r}, but the model has the joints"
                f" {list(self.joint_names)}; correct the task or the model"
            )
        return self.joint_names.index(joint)


def _mujoco_env(gymnasium_id: str) -> MujocoEnv:
    with without_deprecation_warnings():
        env = gymnasium.make(gymnasium_id).unwrapped
    if not isinstance(env, MujocoEnv):
        raise TaskError(
            f"{gymnasium_id} is not a MuJoCo environment, so it cannot be simulated as a robot;"
            " choose a MuJoCo environment, or give the task an MJCF model"
        )
    return env


def _load_model(path: Path) -> mujoco.MjModel:
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise TaskError(f"MuJoCo cannot load {path}: {error}") from error


def _whole_steps(task: TaskSpec, timestep_s: float) -> int:
    steps = round(task.control_period_s / timestep_s)
    if steps < 1 or abs(steps * timestep_s - task.control_period_s) > 1e-9:
        raise TaskError(
            f"control_period_s {task.control_period_s} of task {task.name!r} is not a multiple of"
            f" the model's time step {timestep_s} s; change one of them"
        )
    return steps
