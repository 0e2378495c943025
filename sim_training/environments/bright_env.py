"""Pictures of Gymnasium's MuJoCo environments, as bright as those of a task's own model."""

import gymnasium as gym
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv
from sim_training.robot.robot_camera import RobotCamera


class BrightEnv(
    gym.Wrapper[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    gym.utils.RecordConstructorArgs,
):
    """The same environment with other pictures: Gymnasium's are dark and hold no robot at times."""

    def __init__(self, env: BoxEnv) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self._camera: RobotCamera | None = None

    def render(self) -> NDArray[np.uint8]:
        """Return a picture [480, 640, 3] of the robot."""
        mujoco_env = self.unwrapped
        assert isinstance(mujoco_env, MujocoEnv)
        if self._camera is None:
            self._camera = RobotCamera(mujoco_env.model)
        return self._camera.picture(mujoco_env.data)

    def close(self) -> None:
        """Release the camera and the environment."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        super().close()
