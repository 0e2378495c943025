"""Find the actuators of a MuJoCo model that execute a task's commands.

A model whose actuators interpret a command differently from the task is refused. Otherwise the
policy would be trained for another robot without any warning.

Shapes: A action_dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sac_ros.task.action_spec import Quantity
from sac_ros.task.task_spec import TaskError, TaskSpec

_JOINT_TRANSMISSIONS = (
    int(mujoco.mjtTrn.mjTRN_JOINT),
    int(mujoco.mjtTrn.mjTRN_JOINTINPARENT),
)
_PLAIN_DYNAMICS = (
    int(mujoco.mjtDyn.mjDYN_NONE),
    int(mujoco.mjtDyn.mjDYN_FILTER),
    int(mujoco.mjtDyn.mjDYN_FILTEREXACT),
)
_TOLERANCE = 1e-6
"""Tolerance, as a fraction of the control range, for rounding errors of equal limits."""


@dataclass(frozen=True, kw_only=True)
class ModelActuators:
    """The actuators of the task's joints, in the order of its commands."""

    indices: NDArray[np.intp]  # [A]
    units: NDArray[np.float64]
    """Size of one unit of MuJoCo's `ctrl` [A], in the task's command units."""


def find_actuators(model: mujoco.MjModel, task: TaskSpec) -> ModelActuators:
    """Return the actuators of the joints that the task commands; `model` must be unperturbed.

    Raises TaskError if a joint has no actuator or several, or if its actuator takes another
    quantity or a smaller range than the task commands.
    """
    by_joint: dict[str, list[int]] = {}
    for index in range(model.nu):
        if model.actuator_trntype[index] in _JOINT_TRANSMISSIONS:
            joint = model.joint(model.actuator_trnid[index, 0]).name
            by_joint.setdefault(joint, []).append(index)
    joints = task.action.joints
    if missing := [joint for joint in joints if joint not in by_joint]:
        raise TaskError(f"no actuator drives {missing}; the model's drive {list(by_joint)}")
    indices, units = [], []
    for entry, joint in enumerate(joints):
        index, *others = by_joint[joint]
        if others:
            names = [model.actuator(each).name for each in (index, *others)]
            raise TaskError(
                f"joint {joint!r} has the actuators {names} in the model, expected one; remove the"
                " others"
            )
        indices.append(index)
        units.append(_unit(model, task, entry, index))
        _refuse_narrower_range(model, task, entry, index, units[-1])
    return ModelActuators(indices=np.array(indices), units=np.array(units))


def _unit(model: mujoco.MjModel, task: TaskSpec, entry: int, index: int) -> float:
    """Return the size of one unit of an actuator's `ctrl`, in the task's command unit.

    MuJoCo's force is gear (gain ctrl + bias_0 + bias_1 gear position + bias_2 gear velocity).
    Raises TaskError if the actuator takes another quantity, or has a gain or gear of 0.
    """
    joint, asked = task.action.joints[entry], task.action.kind
    gear, gain = float(model.actuator_gear[index, 0]), float(model.actuator_gainprm[index, 0])
    _, by_position, by_velocity = (float(value) for value in model.actuator_biasprm[index, :3])
    taken = _quantity(model, index, by_position, by_velocity)
    if taken is None:  # unknown formula: assume MuJoCo's own motor or servo
        return gear if asked == "effort" else 1.0
    if taken != asked:
        raise TaskError(
            f"task {task.name!r} commands the {asked} of joint {joint!r}, but the model's actuator"
            f" takes a {taken} command; correct the action's kind, or the actuator"
        )
    if gear * gain == 0.0:
        raise TaskError(
            f"the model's actuator of joint {joint!r} has a gain or gear of 0, so commands have no"
            " effect; correct the model"
        )
    if taken == "effort":
        return gear * gain
    return gain / (-(by_position if taken == "position" else by_velocity) * gear)


def _quantity(
    model: mujoco.MjModel, index: int, by_position: float, by_velocity: float
) -> Quantity | None:
    """Return the quantity that an actuator's `ctrl` sets; None if its formula is not known."""
    is_affine = model.actuator_biastype[index] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    is_known = is_affine or model.actuator_biastype[index] == int(mujoco.mjtBias.mjBIAS_NONE)
    is_plain = model.actuator_dyntype[index] in _PLAIN_DYNAMICS
    is_fixed = model.actuator_gaintype[index] == int(mujoco.mjtGain.mjGAIN_FIXED)
    if not (is_known and is_plain and is_fixed):
        return None
    if is_affine and by_position != 0.0:
        return "position"
    return "velocity" if is_affine and by_velocity != 0.0 else "effort"


def _refuse_narrower_range(
    model: mujoco.MjModel, task: TaskSpec, entry: int, index: int, unit: float
) -> None:
    action = task.action
    for limit, ends in _ranges(model, task, index, unit):
        low, high = float(ends.min()), float(ends.max())
        slack = _TOLERANCE * (high - low)
        if action.low[entry] < low - slack or action.high[entry] > high + slack:
            raise TaskError(
                f"task {task.name!r} commands joint {action.joints[entry]!r} from"
                f" {action.low[entry]:g} to {action.high[entry]:g} {action.unit}, but the model's"
                f" actuator takes {low:g} to {high:g}; narrow the action's low and high, or widen"
                f" {limit}"
            )


def _ranges(
    model: mujoco.MjModel, task: TaskSpec, index: int, unit: float
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield what bounds an actuator's command: a name, and both ends in the task's unit."""
    if model.actuator_ctrllimited[index]:
        yield "the actuator's ctrlrange", model.actuator_ctrlrange[index] * unit
    if task.action.kind != "effort":
        return  # a servo with a limited force still goes where it is commanded, only later
    if model.actuator_forcelimited[index]:
        gear = model.actuator_gear[index, 0]
        yield "the actuator's forcerange", model.actuator_forcerange[index] * gear
    joint = model.actuator_trnid[index, 0]
    if model.jnt_actfrclimited[joint]:
        yield "the joint's actuatorfrcrange", model.jnt_actfrcrange[joint]
