"""Which way messages take between the processes of one machine."""

import os
from importlib.metadata import version
from typing import Final

from rclpy.utilities import get_rmw_implementation_identifier

from sac_ros.task.package_share import package_share

DISCOVERY_RANGE: Final = "ROS_AUTOMATIC_DISCOVERY_RANGE"
CHOSEN_BY: Final = (
    "FASTDDS_BUILTIN_TRANSPORTS",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
)
"""With one of these, whoever starts the process has chosen a transport."""
FIRST_WITH_FASTDDS_3: Final = 9
"""rclpy's major version, which is Kilted's; Jazzy's Fast DDS 2 was still called Fast RTPS."""


def avoid_shared_memory() -> None:
    """Let this process talk over UDP, unless a transport was chosen for it.

    By default Fast DDS uses shared memory on one machine. A process that is killed (out of memory,
    `kill -9`, a crash) while it holds the lock of its queue there leaves it locked: everybody who
    writes to it then waits for a second and more, in the middle of publishing to somebody else. A
    socket cannot do that. To be called before rclpy.init(). Other middlewares are left alone.
    """
    if any(os.environ.get(name) for name in CHOSEN_BY):
        return
    if "fastrtps" not in get_rmw_implementation_identifier():
        return
    os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
    # For this range ROS 2 sets up transports of its own, whatever was chosen; a profile does what
    # it does, but has no place for further machines.
    if os.environ.get(DISCOVERY_RANGE) == "LOCALHOST" and not os.environ.get("ROS_STATIC_PEERS"):
        generation = "FASTDDS" if _rclpy_major() >= FIRST_WITH_FASTDDS_3 else "FASTRTPS"
        profile = package_share() / "config" / "fast_dds_localhost.xml"
        os.environ[f"{generation}_DEFAULT_PROFILES_FILE"] = str(profile)
        os.environ[DISCOVERY_RANGE] = "SYSTEM_DEFAULT"


def _rclpy_major() -> int:
    return int(version("rclpy").partition(".")[0])
