"""`policy_node` as a process: it stops the robot on every way out."""

from typing import Final

from rclpy.lifecycle import TransitionCallbackReturn

from sac_ros.errors import InputError
from sac_ros.nodes.control.policy_node import PolicyNode
from sac_ros.nodes.process.freed_memory import release_large_blocks
from sac_ros.nodes.process.node_process import run_process
from sac_ros.nodes.process.parameter_table import flag


class PolicyProcess:
    """A policy node that waits for a lifecycle manager, or starts itself if told to."""

    def __init__(self) -> None:
        self.node: Final = PolicyNode()

    def start(self) -> None:
        """Configure and activate, if parameter `autostart` says so."""
        if not flag(self.node, "autostart"):
            return
        for trigger in (self.node.trigger_configure, self.node.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise InputError("could not start; the reason stands in the log above")

    def is_done(self) -> bool:
        """Never: a policy node ends by a signal."""
        return False

    def finish(self) -> None:
        """Send the safe command, if the node is active."""
        self.node.stop_robot()


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit status."""
    release_large_blocks()
    return run_process(PolicyProcess)
