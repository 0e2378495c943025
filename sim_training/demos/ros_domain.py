"""A ROS domain of one's own: nodes of others on this machine are neither heard nor disturbed."""

import random
import socket

from sac_ros.errors import InputError

# 0 is where everybody's other nodes are; above 101 a domain's ports can meet Linux's own.
TEST_DOMAINS = range(1, 61)
DEMO_DOMAINS = range(61, 102)


class DomainError(InputError):
    """No ROS domain is free."""


def claim_domain(domains: range) -> tuple[int, socket.socket]:
    """Return a ROS domain that nobody else claimed, and the claim to keep until the end.

    The claim is a name in the network namespace, where the domains are too; the kernel gives it
    back however the process ends.
    """
    # From a random one on: the peers of a killed process linger for 20 s in the domain it had.
    for domain in random.sample(domains, len(domains)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0sac_ros_domain_{domain}")
        except OSError:
            claim.close()
            continue
        return domain, claim
    raise DomainError(
        f"all ROS domains from {domains[0]} to {domains[-1]} are in use; set ROS_DOMAIN_ID, or"
        " end what uses them"
    )
