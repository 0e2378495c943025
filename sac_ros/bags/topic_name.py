"""Full names of the task's topics in a recording or a running system."""

from collections.abc import Mapping, Sequence

from sac_ros.errors import InputError


def parse_remaps(remaps: Sequence[str]) -> dict[str, str]:
    """Return FROM:=TO options as a mapping; raise InputError."""
    renamed = {}
    for remap in remaps:
        before, separator, after = remap.partition(":=")
        if not (separator and before and after):
            raise InputError(
                f"--remap {remap!r} is not FROM:=TO, such as joint_states:=/arm/states"
            )
        renamed[before] = after
    return renamed


def full_topic_name(topic: str, namespace: str, remaps: Mapping[str, str]) -> str:
    """Return the name that a node in `namespace` would resolve a topic of the task to."""
    name = remaps.get(topic, topic)
    return name if name.startswith("/") else f"/{namespace.strip('/')}/{name}".replace("//", "/")
