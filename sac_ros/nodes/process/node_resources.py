"""What a node makes and must take away again, whatever fails in between."""

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.timer import Timer

if TYPE_CHECKING:
    from rclpy.client import Client
    from rclpy.lifecycle.publisher import LifecyclePublisher
    from rclpy.publisher import Publisher
    from rclpy.subscription import Subscription


class NodeResources:
    """Makes a node's publishers, subscriptions, timers and clients, and destroys all of them.

    Used as a context manager, it destroys everything if the block fails. `close` destroys in
    reverse order. Nothing is called back afterwards, even if an event was already queued.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stack = ExitStack()
        self._is_open = True

    def __enter__(self) -> "NodeResources":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.close()

    def close(self) -> None:
        """Destroy everything; the first error is raised when all has been tried."""
        self._is_open = False
        try:
            self._stack.close()
        finally:
            # rclpy keeps a reference to each entity of a callback group for ever.
            entities = self._node.default_callback_group.entities
            for dead in [entity for entity in entities if entity() is None]:
                entities.discard(dead)

    def on_close(self, release: Callable[[], object]) -> None:
        """Call `release` when everything is destroyed; the last one added is called first."""
        self._stack.callback(release)

    def publisher(self, message_type: type, topic: str, qos: QoSProfile | int) -> "Publisher[Any]":
        """Make a publisher."""
        publisher: Publisher[Any] = self._node.create_publisher(message_type, topic, qos)
        self.on_close(lambda: self._node.destroy_publisher(publisher))
        return publisher

    def lifecycle_publisher(
        self, message_type: type, topic: str, qos: QoSProfile
    ) -> "LifecyclePublisher[Any]":
        """Make a publisher that is mute while the node is inactive."""
        node = self._node
        assert isinstance(node, LifecycleNode)
        publisher: LifecyclePublisher[Any] = node.create_lifecycle_publisher(
            message_type, topic, qos
        )
        # destroy_publisher would leave it registered with the lifecycle node.
        self.on_close(lambda: node.destroy_lifecycle_publisher(publisher))
        return publisher

    def subscription(
        self, message_type: type, topic: str, callback: Callable[..., None], qos: QoSProfile
    ) -> "Subscription[Any]":
        """Make a subscription; `callback` gets each message.

        A callback with two parameters also gets what rclpy says of the message.
        """
        subscription = self._node.create_subscription(
            message_type, topic, _Callback(self, callback), qos
        )
        self.on_close(lambda: self._node.destroy_subscription(subscription))
        return subscription

    def steady_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once a period of real time, even while a simulation's clock stands still."""
        timer = self._node.create_timer(
            period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

        def destroy() -> None:
            timer.cancel()
            self._node.destroy_timer(timer)

        self.on_close(destroy)
        return timer

    def client(self, service_type: type, name: str) -> "Client[Any, Any]":
        """Make a client of a service."""
        client: Client[Any, Any] = self._node.create_client(service_type, name)
        self.on_close(lambda: self._node.destroy_client(client))
        return client

    @property
    def is_open(self) -> bool:
        """Whether callbacks may still come."""
        return self._is_open


class _Callback:
    """A subscription's callback, until its resources are closed.

    rclpy looks at the signature to learn whether a callback wants the message's information. Its
    EventsExecutor then passes both as one tuple, the other executors as two arguments.
    """

    def __init__(self, resources: NodeResources, callback: Callable[..., None]) -> None:
        self.__signature__ = inspect.signature(callback)
        self._wants_info = len(self.__signature__.parameters) == 2
        self._resources = resources
        self._callback = callback

    def __call__(self, message: object, *info: object) -> None:
        """Pass on one message."""
        if not self._resources.is_open:
            return
        if self._wants_info and not info:
            assert isinstance(message, tuple)
            message, *info_list = message
            info = tuple(info_list)
        self._callback(message, *info)
