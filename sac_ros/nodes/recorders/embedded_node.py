"""A node inside of a process that is not a node: it listens and speaks only while it is spun."""

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node


class EmbeddedNode:
    """A node with a context and an executor of its own, whoever else in the process uses ROS."""

    def __init__(self, name: str, namespace: str = "") -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node(name, context=self._context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def spin_once(self, timeout_s: float) -> None:
        """Run one callback that is due, or wait this long for one; zero or less is for ever."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def close(self) -> None:
        """Leave ROS."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
