"""The arm of config/tasks with an IMU in its hand: readings of a sensor, not only of joints."""

from pathlib import Path

from sac_ros.task.task_spec import load_task

SENSORS = """
  <sensor>
    <accelerometer name="hand_acceleration" site="hand"/>
    <gyro name="hand_turn" site="hand"/>
    <framequat name="hand_attitude" objtype="site" objname="hand"/>
    <framepos name="hand_place" objtype="site" objname="hand"/>
  </sensor>
"""

READINGS = """
  - {name: hand_attitude, topic: imu, type: sensor_msgs/msg/Imu, field: orientation, unit: "1"}
  - {name: hand_turn, topic: imu, type: sensor_msgs/msg/Imu, field: angular_velocity, unit: rad/s}
  - name: hand_place
    topic: hand
    type: std_msgs/msg/Float64MultiArray
    field: data
    size: 3
    unit: m
"""


def write_imu_arm(folder: Path, *, sensors: str = SENSORS, readings: str = READINGS) -> Path:
    """Write task and model into a folder; return the task file."""
    model = Path(load_task("two_joint_arm").simulator.mjcf or "")
    (folder / "arm.xml").write_text(model.read_text().replace("</mujoco>", f"{sensors}</mujoco>"))
    task = (model.parents[1] / "tasks" / "two_joint_arm.yaml").read_text()
    task = task.replace("../models/two_joint_arm.xml", "arm.xml")
    path = folder / "imu_arm.yaml"
    path.write_text(task.replace("\naction:\n", f"{readings}\naction:\n"))
    return path
