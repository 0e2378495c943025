"""Entry points where console commands installed from an older source look for them.

Only for one release; the entry points are in `sac_ros.nodes.process.executables`.
"""

import sys
from collections.abc import Callable

from sac_ros.nodes.process import executables

PROGRAMS = ("policy_node", "learner_node", "episode_recorder", "bag_recorder", "sim_robot_node")


def __getattr__(program: str) -> Callable[[], None]:
    if program not in PROGRAMS:
        raise AttributeError(f"module {__name__!r} has no attribute {program!r}")
    print(
        f"{program}: this command was installed from an older source and will stop working in the"
        " next release; install again: pip install -e . or colcon build",
        file=sys.stderr,
    )
    entry_point: Callable[[], None] = getattr(executables, program)
    return entry_point
