"""The console commands of the nodes; each says how to get what is missing."""

import importlib
import os
import signal
import sys
from types import FrameType

from sac_ros.nodes.process.stop_signals import STOP_SIGNALS

INSTALL_ADVICE = {
    "torch": "pip install 'sac_ros[sim]'",
    "safetensors": "pip install 'sac_ros[sim]'",
    "rclpy": "source your ROS 2 installation, or: pip install 'sac_ros[ros]'",
    "rosbags": "pip install 'sac_ros[bags]'",
    "mcap": "pip install 'sac_ros[bags]'",
    "mujoco": "pip install 'sac_ros[sim]'",
    "gymnasium": "pip install 'sac_ros[sim]'",
}


def policy_node() -> None:
    """Run the policy on a robot."""
    _run("policy_node", "sac_ros.nodes.control.policy_process")


def learner_node() -> None:
    """Learn from a robot's transitions."""
    _run("learner_node", "sac_ros.nodes.learning.learner_node")


def episode_recorder() -> None:
    """Count the returns of a policy node's episodes."""
    _run("episode_recorder", "sac_ros.nodes.recorders.episode_recorder")


def bag_recorder() -> None:
    """Record what a policy node hears and does."""
    _run("bag_recorder", "sac_ros.nodes.recorders.bag_recorder")


def sim_robot_node() -> None:
    """Run a MuJoCo robot that speaks ROS 2."""
    # Named as text: nothing in sac_ros depends on the simulator.
    _run("sim_robot_node", "sim_training.robot_node.sim_robot_node")


def _run(program: str, module: str) -> None:
    # Until the node itself listens: Ctrl-C while Python imports is a way out like any other.
    signal.signal(signal.SIGINT, _leave)
    try:
        status: int = importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in INSTALL_ADVICE:
            raise
        print(
            f"{program} needs {missing}, which is not installed; {INSTALL_ADVICE[missing]}",
            file=sys.stderr,
        )
        status = 2
    # Launch and the terminal may each send one, and Python lets go of our handlers while it ends:
    # without this, the second would make a clean end look like a crash.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once, as nothing has been opened yet; an exception could be caught by an import."""
    os._exit(0)
