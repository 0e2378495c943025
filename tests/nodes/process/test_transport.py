"""Whoever starts a node has the last word about how its messages travel."""

import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from sac_ros.nodes.process.transport import avoid_shared_memory

pytestmark = [pytest.mark.ros, pytest.mark.distro]


def environment_after(monkeypatch: pytest.MonkeyPatch, **before: str) -> dict[str, str]:
    environment = dict(before)
    monkeypatch.setattr(os, "environ", environment)
    avoid_shared_memory()
    return environment


@pytest.mark.parametrize(
    "name",
    [
        "FASTDDS_BUILTIN_TRANSPORTS",
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
    ],
)
def test_transport_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    chosen = {name: "mine", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    assert environment_after(monkeypatch, **chosen) == chosen


def test_range_of_one_machine_is_kept_by_a_profile_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after = environment_after(monkeypatch, ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")
    (profile,) = (Path(value) for name, value in after.items() if name.endswith("PROFILES_FILE"))
    assert after["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SYSTEM_DEFAULT"
    assert "<address>127.0.0.1</address>" in profile.read_text()


def test_peers_on_other_machines_are_not_given_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_STATIC_PEERS": "192.0.2.7"}
    after = environment_after(monkeypatch, **named)
    assert {name: after[name] for name in named} == named
    assert not [name for name in after if name.endswith("PROFILES_FILE")]
