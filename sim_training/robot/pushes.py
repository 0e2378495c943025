"""Random pushes: a short force on a random body of the robot, as from a person or an obstacle."""

import mujoco
import numpy as np

PUSH_INTERVAL_S = 2.0
"""Mean time between two pushes; the waiting times are exponentially distributed."""
PUSH_DURATION_S = 0.1


class Pushes:
    """The pushes of one robot in one episode; they depend only on the given generator."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        max_force_n: float,
        rng: np.random.Generator,
    ) -> None:
        """Draw forces uniform in [0, `max_force_n`] and directions uniform on the sphere."""
        self._model, self._data = model, data
        self._max_force_n = max_force_n
        self._rng = rng
        self._time_s = 0.0
        self._ends_s = np.inf
        self._begins_s = rng.exponential(PUSH_INTERVAL_S) if max_force_n > 0.0 else np.inf
        data.xfrc_applied[:] = 0.0

    def step(self) -> None:
        """Start or end a push if it is due; call it before each physics step."""
        if self._time_s >= self._ends_s:
            self._data.xfrc_applied[:] = 0.0
            self._ends_s = np.inf
        if self._time_s >= self._begins_s:
            self._begin()
        self._time_s += self._model.opt.timestep

    def _begin(self) -> None:
        direction = self._rng.standard_normal(3)
        force_n = self._rng.uniform(0.0, self._max_force_n)
        body = self._rng.integers(1, self._model.nbody)  # body 0 is the world
        self._data.xfrc_applied[body, :3] = force_n * direction / np.linalg.norm(direction)
        self._ends_s = self._time_s + PUSH_DURATION_S
        self._begins_s = self._ends_s + self._rng.exponential(PUSH_INTERVAL_S)
