"""The environment of a task on a MuJoCo model.

Observation, reward, termination and safety filter are the same classes that the policy node uses on
the robot.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from sac_ros.policy.safety_filter import SafetyFilter
from sac_ros.task.action import ActionScaling
from sac_ros.task.observation import ObservationBuilder, Readings
from sac_ros.task.reward import RewardFunction, Step
from sac_ros.task.task_spec import TaskSpec
from sac_ros.task.termination import TerminationRule
from sim_training.robot.domain_randomization import NO_RANDOMIZATION, DomainRandomization
from sim_training.robot.mujoco_robot import MujocoRobot
from sim_training.robot.perturbation import NOMINAL, Perturbation
from sim_training.robot.robot_camera import RobotCamera


class TaskEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A MuJoCo model controlled as the task file describes: obs [O], action [A] in [-1, 1].

    It has no time limit; gymnasium.wrappers.TimeLimit adds the task's.
    """

    def __init__(
        self,
        task: TaskSpec,
        render_mode: str | None = None,
        perturbation: Perturbation = NOMINAL,
        randomization: DomainRandomization = NO_RANDOMIZATION,
    ) -> None:
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": round(1.0 / task.control_period_s),
        }
        self.render_mode = render_mode
        self.dt = task.control_period_s
        self.observation_space = Box(-np.inf, np.inf, (task.obs_dim,), np.float32)
        self.action_space = Box(-1.0, 1.0, (task.action_dim,), np.float32)
        self._perturbation, self._randomization = perturbation, randomization
        self._robot = MujocoRobot(task, perturbation)
        self._observation = ObservationBuilder(task.observation)
        self._scaling = ActionScaling(task.action)
        self._safety_filter = SafetyFilter(task)
        self._reward = RewardFunction(task)
        self._termination = TerminationRule(task)
        self._readings: Readings = {}
        self._previous_action = np.zeros(task.action_dim)
        self._camera: RobotCamera | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, object]]:
        """Move the robot to a new random start pose; return obs [O]."""
        super().reset(seed=seed)
        if not self._randomization.is_none:
            self._robot.apply_perturbation(
                self._randomization.draw(self._perturbation, self.np_random)
            )
        self._robot.reset(self.np_random)
        self._observation.reset()
        self._previous_action = np.zeros_like(self._previous_action)
        self._readings = self._robot.readings()
        self._safety_filter.reset(self._readings)
        return self._observation.build(self._readings), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, object]]:
        """Take an action [A] in [-1, 1]; `info["executed_action"]` is the action after the filter.

        `truncated` is always False.
        """
        command = self._safety_filter.apply(self._scaling.to_command(action), self._readings)
        executed = self._scaling.to_action(command)
        self._robot.set_command(command)
        for _ in range(self._robot.steps_per_control):
            self._robot.step()
        before, self._readings = self._readings, self._robot.readings()
        terminated = self._termination.reason(self._readings) is not None
        step = Step(
            before=before,
            after=self._readings,
            action=executed,
            previous_action=self._previous_action,
            terminated=terminated,
        )
        self._previous_action = executed
        obs = self._observation.build(self._readings)
        return obs, self._reward(step), terminated, False, {"executed_action": executed}

    def render(self) -> NDArray[np.uint8]:
        """Return an image [480, 640, 3] of the robot."""
        if self._camera is None:
            self._camera = RobotCamera(self._robot.model)
        return self._camera.picture(self._robot.data)

    def close(self) -> None:
        """Release the camera."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
