"""Apply a perturbation to a compiled MuJoCo model."""

import mujoco
import numpy as np

from sim_training.robot.perturbation import Perturbation

FRICTION_SLIDING = 0
"""Column of sliding friction in geom_friction; torsional and rolling friction do not change."""

ONE_DOF_JOINTS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


class PerturbedModel:
    """A compiled model that can be perturbed repeatedly, each time from its nominal values."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        # Views of the arrays that perturbations change, with copies of the nominal values.
        views = (
            model.opt.gravity,
            model.geom_friction,
            model.pair_friction,
            model.body_mass,
            model.body_inertia,
            model.actuator_gainprm,
            model.actuator_biasprm,
            model.dof_damping,
            model.jnt_range,
        )
        self._nominal = [(view, view.copy()) for view in views]

    def apply_perturbation(self, perturbation: Perturbation) -> None:
        """Change the model, relative to its file; this resets the data to the start pose."""
        for view, nominal in self._nominal:
            view[:] = nominal
        _perturb(self._model, self._data, perturbation)


def _perturb(model: mujoco.MjModel, data: mujoco.MjData, perturbation: Perturbation) -> None:
    model.opt.gravity[:] *= perturbation.gravity
    model.geom_friction[:, FRICTION_SLIDING] *= perturbation.friction
    model.pair_friction[:, :2] *= perturbation.friction  # both tangential directions of a pair
    model.body_mass[:] *= perturbation.body_mass
    model.body_inertia[:] *= perturbation.body_mass
    # A servo's stiffness is in gain and bias; for a motor the bias is zero.
    model.actuator_gainprm[:] *= perturbation.actuator_gain
    model.actuator_biasprm[:] *= perturbation.actuator_gain
    model.dof_damping[:] *= perturbation.joint_damping
    _narrow_joints(model, perturbation.joint_range)
    # Recompute the quantities that MuJoCo derives from mass and inertia.
    mujoco.mj_setConst(model, data)


def _narrow_joints(model: mujoco.MjModel, factor: float) -> None:
    """Scale the distance of joint limits (hinges and slides) from the start pose."""
    for joint in np.flatnonzero(model.jnt_limited):
        if model.jnt_type[joint] not in ONE_DOF_JOINTS:
            continue
        low, high = model.jnt_range[joint]
        start = float(np.clip(model.qpos0[model.jnt_qposadr[joint]], low, high))
        model.jnt_range[joint] = start + factor * (low - start), start + factor * (high - start)
