"""Package metadata, here and not in pyproject.toml because colcon reads setup.py."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

SHARE = "share/sac_ros"


def config_files() -> list[tuple[str, list[str]]]:
    """Return each folder of config/ as it is installed, with its files."""
    folders = [Path("config"), *sorted(path for path in Path("config").rglob("*") if path.is_dir())]
    return [
        (f"{SHARE}/{folder.as_posix()}", sorted(str(p) for p in folder.iterdir() if p.is_file()))
        for folder in folders
    ]


setup(
    name="sac_ros",
    version="0.1.0",
    description="Soft Actor-Critic for robots: train in MuJoCo, run and keep learning in ROS 2",
    license="Apache-2.0",
    maintainer="sac_ros maintainers",
    maintainer_email="maintainers@sac-ros.example",
    python_requires=">=3.10",
    packages=find_packages(include=["sac_ros*", "sim_training*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/sac_ros"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/launch", glob("launch/*.launch.py")),
        (f"{SHARE}/deploy", glob("deploy/*.service")),
        (f"{SHARE}/policies", glob("policies/*.onnx")),
        *config_files(),
    ],
    zip_safe=False,
    # What runs at control rate; a robot needs no more, and has rclpy from its ROS 2.
    install_requires=["numpy", "PyYAML", "onnxruntime"],
    extras_require={
        "sim": [
            "gymnasium>=1.1",
            "imageio[ffmpeg]",
            "matplotlib",
            "mujoco",
            "onnx",
            "onnxscript",
            "rich",
            "safetensors",
            "tensorboard",
            "torch",
            "tyro",
        ],
        "atari": ["ale-py", "opencv-python-headless"],
        # Bags: written by bag_recorder, read by `sac-ros doctor --bag` and `sac-ros bag-to-buffer`.
        "bags": ["mcap", "rosbags"],
        # Hyperparameter search.
        "tune": ["optuna"],
        # The documentation site; see `make docs`.
        "docs": ["furo", "myst-parser", "sphinx", "sphinx-copybutton", "sphinx-design"],
        # What benchmarks/speed/training_speed.py compares with.
        "bench": ["sbx-rl", "stable-baselines3"],
        # ROS 2 from PyPI, for x86-64 Linux without a ROS 2 installation. One distribution a venv.
        "ros": [
            "ros-kilted-common-interfaces",
            "ros-kilted-rclpy",
            "ros-kilted-rmw-fastrtps-cpp",
        ],
        "ros-jazzy": [
            "ros-jazzy-common-interfaces",
            "ros-jazzy-rclpy",
            "ros-jazzy-rmw-fastrtps-cpp",
        ],
        # `colcon test` looks for this extra by its name and runs pytest only if it is there.
        "test": [
            "colcon-common-extensions",
            "hypothesis",
            "mcap",
            "mypy",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "rosbags",
            "ruff",
            "stable-baselines3",
            "setuptools<80",  # colcon calls setup.py commands that later versions dropped
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "sac-ros = sac_ros.command_line:main",
            "policy_node = sac_ros.nodes.process.executables:policy_node",
            "learner_node = sac_ros.nodes.process.executables:learner_node",
            "episode_recorder = sac_ros.nodes.process.executables:episode_recorder",
            "bag_recorder = sac_ros.nodes.process.executables:bag_recorder",
            "sim_robot_node = sac_ros.nodes.process.executables:sim_robot_node",
        ],
    },
)
