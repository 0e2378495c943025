"""`policy_node` as a process: it stops the robot on every way out."""

from typing import Final

from rclpy.lifecycle import TransitionCallbackReturn

from sac_ros.errors import InputError
from sac_ros.nodes.control.policy_node import PolicyNode
from sac_ros.nodes.process.freed_memory import release_large_blocks
from sac_ros.nodes.process.node_process import run_process
from sac_ros.nodes.process.parameter_table import flag
from sac_ros.nodes.process.stop_signals import ParentProcess


class PolicyProcess:
    """A policy node that waits for a lifecycle manager, or starts itself if told to."""

    def __init__(self) -> None:
        self.node: Final = PolicyNode()
        self._parent = ParentProcess() if flag(self.node, "stop_with_parent") else None

    def start(self) -> None:
        """Configure and activate, if parameter `autostart` says so.

        During an emergency stop it stays inactive: whoever resets it decides when the robot moves.
        """
        if not flag(self.node, "autostart"):
            return
        is_configured = self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        if is_configured and self.node.is_emergency_stopped:
            self.node.trigger_activate()  # says in the log why it may not
            return
        if not is_configured or self.node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            raise InputError("could not start; the reason stands in the log above")

    def is_done(self) -> bool:
        """Say whether the process ends with the one that started it; else it ends by a signal."""
        return self._parent is not None and self._parent.has_ended()

    def finish(self) -> None:
        """Send the last command, if the node is active."""
        self.node.stop_robot()


def main() -> int:
    """Run until a signal; return the exit status."""
    release_large_blocks()
    return run_process(PolicyProcess)
