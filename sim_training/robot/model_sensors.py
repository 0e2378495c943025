"""Find the MuJoCo sensors for the readings of a task that are not joint states.

A reading uses the sensor with the same name: a reading `gyro` (`angular_velocity` of an Imu) uses
`<gyro name="gyro" site="imu"/>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sac_ros.task.task_spec import Reading, TaskError, TaskSpec


@dataclass(frozen=True, kw_only=True)
class ModelSensor:
    """The location of a reading's values in MuJoCo's sensor data."""

    places: NDArray[np.intp]
    """Indices into `sensordata`, in the order of the ROS message [size]."""
    is_orientation: bool


def find_sensors(model: mujoco.MjModel, task: TaskSpec) -> Mapping[str, ModelSensor]:
    """Return the sensor of each reading that is not a joint state, by the reading's name.

    Raises TaskError if the model has no sensor of that name, or one of another size.
    """
    return {
        reading.name: _sensor_of(model, task, reading)
        for reading in task.readings
        if not reading.is_of_joints
    }


def _sensor_of(model: mujoco.MjModel, task: TaskSpec, reading: Reading) -> ModelSensor:
    names = [model.sensor(index).name for index in range(model.nsensor)]
    if reading.name not in names:
        raise TaskError(
            f"task {task.name!r} reads {reading.name!r} ({reading.field} of {reading.type}), but"
            f" the model has no sensor of that name, only {names}; add one to the model, or correct"
            " the reading's name"
        )
    sensor = model.sensor(reading.name)
    size = int(sensor.dim[0])
    if size != reading.size:
        raise TaskError(
            f"the model's sensor {reading.name!r} has {size} values, but task {task.name!r} reads"
            f" {reading.size} ({reading.field} of {reading.type}); correct the sensor or the task"
        )
    places = np.arange(size) + int(sensor.adr[0])
    is_orientation = reading.field.endswith("orientation")
    # Quaternions: ROS uses the order x, y, z, w; MuJoCo uses w, x, y, z.
    return ModelSensor(
        places=np.roll(places, -1) if is_orientation else places, is_orientation=is_orientation
    )
