"""The console commands of the nodes; each says how to get what is missing."""

import importlib
import sys

INSTALL_ADVICE = {
    "rclpy": "source your ROS 2 installation, or: pip install 'sac_ros[ros]'",
    "mujoco": "pip install 'sac_ros[sim]'",
    "gymnasium": "pip install 'sac_ros[sim]'",
}


def policy_node() -> None:
    """Run the policy on a robot."""
    _run("policy_node", "sac_ros.nodes.policy_process")


def episode_recorder() -> None:
    """Count the returns of a policy node's episodes."""
    _run("episode_recorder", "sac_ros.nodes.episode_recorder")


def sim_robot_node() -> None:
    """Run a MuJoCo robot that speaks ROS 2."""
    # Named as text: nothing in sac_ros depends on the simulator.
    _run("sim_robot_node", "sim_training.sim_robot_node")


def _run(program: str, module: str) -> None:
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
    sys.exit(status)
