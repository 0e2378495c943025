"""The latched topic on which a learner offers policies to its robot."""

import time
from array import array
from dataclasses import replace

from rclpy.node import Node
from std_msgs.msg import UInt8MultiArray

from sac_ros.nodes.messages.qos_profiles import LATCHED_QOS
from sac_ros.policy.updates.policy_update import PolicyUpdate, pack_update


class PolicyUpdatePublisher:
    """What stands on the topic; a robot that starts later finds it there."""

    def __init__(self, node: Node, key: bytes | None) -> None:
        """Offer nothing yet; what is offered is signed where there is a key."""
        self._publisher = node.create_publisher(UInt8MultiArray, "~/policy_update", LATCHED_QOS)
        self._key = key
        self._standing: PolicyUpdate | None = None
        self.sent_s = -float("inf")
        """When the last new policy was sent, on the steady clock."""

    @property
    def version(self) -> int | None:
        """Of the policy that stands there; None if none does."""
        return None if self._standing is None else self._standing.header.version

    @property
    def num_rollbacks(self) -> int | None:
        """Rollbacks that the policy which stands there knows of; None if none does."""
        return None if self._standing is None else self._standing.header.num_rollbacks

    def send(self, update: PolicyUpdate) -> None:
        """Offer a policy instead of what stood there."""
        self._publish(update)
        self.sent_s = time.monotonic()

    def renew(self, num_rollbacks: int) -> None:
        """Offer the same policy again, to a robot that knows of so many rollbacks.

        A policy node that was started anew has forgotten them, and would refuse what stands there.
        """
        if self._standing is not None:
            header = replace(self._standing.header, num_rollbacks=num_rollbacks)
            self._publish(replace(self._standing, header=header))

    def withdraw(self) -> None:
        """Take back what stands there: it was given up, and nobody may find it any more."""
        self._standing = None
        self._publisher.publish(UInt8MultiArray())

    def _publish(self, update: PolicyUpdate) -> None:
        self._standing = update
        content = pack_update(update, self._key)
        self._publisher.publish(UInt8MultiArray(data=array("B", content)))
