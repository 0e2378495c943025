"""A node inside an ordinary process; it communicates only while it is spun."""

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class EmbeddedNode:
    """A node with its own context and executor, independent of other ROS use in the process."""

    def __init__(self, name: str, namespace: str = "") -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node(name, context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def spin_once(self, timeout_s: float) -> None:
        """Run one due callback, or wait up to this time for one; zero or less waits forever."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def close(self) -> None:
        """Destroy the node and shut its context down."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
