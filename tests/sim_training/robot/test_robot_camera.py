"""Pictures of a robot are bright, show it wherever it is, and change nothing of its physics.

In a process of their own: MuJoCo chooses its renderer when it is imported.
"""

import os
import subprocess
import sys

import pytest
from source_tree import ROOT

PROGRAM = """
import sys
import mujoco, numpy as np
from sim_training.robot.robot_camera import RobotCamera

# A grey ball on a plane of 2 m, under no light of the model's own and without a sky.
model = mujoco.MjModel.from_xml_string('''<mujoco><worldbody>
  <geom name="floor" type="plane" size="1 1 0.1" rgba="0.5 0.5 0.5 1"/>
  <body name="ball"><freejoint/><geom type="sphere" size="0.1" rgba="0.9 0.1 0.1 1"/></body>
</worldbody></mujoco>''')
data = mujoco.MjData(model)
before = np.empty(mujoco.mj_sizeModel(model), np.uint8)
mujoco.mj_saveModel(model, None, before)
try:
    camera = RobotCamera(model, 120, 160)
except Exception as error:
    print(f"no OpenGL: {error}")
    sys.exit(77)
pictures = []
for position in ((0.0, 0.0, 0.1), (0.0, 0.0, 0.1), (30.0, 0.0, 0.1)):
    data.qpos[:3] = position
    mujoco.mj_forward(model, data)
    for _ in range(60):  # a free camera needs some pictures to follow
        picture = camera.picture(data)
    pictures.append(picture.astype(int))
camera.close()
after = np.empty_like(before)
mujoco.mj_saveModel(model, None, after)
assert (before == after).all(), "the model was changed"
for picture in pictures:
    assert picture.mean() > 120, picture.mean()
    red = (picture[..., 0] > 1.5 * picture[..., 1]) & (picture[..., 0] > 100)
    assert red.mean() > 0.02, "the ball is not in the picture"
    # The floor is under the robot, also far from where the model's plane ends.
    assert abs(picture[-1].mean() - pictures[0][-1].mean()) < 10
"""


def test_pictures_are_bright_and_follow_the_robot_without_changing_its_model() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MUJOCO_GL": "egl"},
    )

    if process.returncode == 77:
        pytest.skip(process.stdout.strip())
    assert process.returncode == 0, process.stderr
