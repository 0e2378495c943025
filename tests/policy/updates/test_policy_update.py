"""A policy on its way to a robot: whole, from who has the key, and fit to take over."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from linear_policy import linear_policy

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_update import (
    KeyFileError,
    PolicyUpdate,
    PolicyUpdateError,
    UpdateHeader,
    open_update,
    pack_update,
    read_key,
)
from sac_ros.policy.updates.update_check import check_update
from sac_ros.task.task_spec import load_task

TASK = load_task("inverted_pendulum")
KEY = bytes(range(32))
POLICY = linear_policy(TASK)


def update(policy: bytes = POLICY, version: int = 3) -> PolicyUpdate:
    header = UpdateHeader(
        version=version,
        num_rollbacks=0,
        robot_steps=12,
        task_fingerprint=TASK.fingerprint,
        sha256=hashlib.sha256(policy).hexdigest(),
    )
    return PolicyUpdate(header=header, policy=policy)


@pytest.mark.parametrize("key", [None, KEY])
def test_update_arrives_as_it_was_sent(key: bytes | None) -> None:
    arrived = open_update(pack_update(update(), key), key)
    assert arrived.policy == POLICY
    assert replace(arrived.header, hmac="") == update().header


def test_every_damaged_byte_is_noticed() -> None:
    content = pack_update(update(), KEY)
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(PolicyUpdateError):
            open_update(bytes(damaged), KEY)


@pytest.mark.parametrize(
    ("sent_with", "reason"), [(None, "not signed"), (bytes(32), "not that of our key")]
)
def test_update_of_anyone_without_the_key_is_refused(sent_with: bytes | None, reason: str) -> None:
    with pytest.raises(PolicyUpdateError, match=reason):
        open_update(pack_update(update(), sent_with), KEY)


def test_signature_cannot_be_moved_to_another_version() -> None:
    signed = open_update(pack_update(update(), KEY), KEY)
    newer = replace(signed.header, version=9)
    line = pack_update(PolicyUpdate(header=newer, policy=POLICY), None).partition(b"\n")[0]
    forged = line.replace(b'"hmac": ""', f'"hmac": "{signed.header.hmac}"'.encode())
    with pytest.raises(PolicyUpdateError, match="not that of our key"):
        open_update(forged + b"\n" + POLICY, KEY)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"{}\n", b"not json\n", b"[" * 4000 + b"\n", b"\xff\xfe\n", b'{"format": 1}\n'],
)
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyUpdateError):
        open_update(content, None)


def test_policy_that_acts_quite_otherwise_is_refused() -> None:
    running = OnnxPolicy.from_bytes(POLICY)
    obs = np.ones((10, TASK.obs_dim), dtype=np.float32)
    wild = linear_policy(TASK, np.full((1, TASK.obs_dim), 5.0))
    with pytest.raises(PolicyUpdateError, match="max_action_change"):
        check_update(update(wild), running, obs, max_action_change=0.5)
    check_update(update(wild), running, obs, max_action_change=1.5)


def test_policy_of_another_task_is_refused() -> None:
    running = OnnxPolicy.from_bytes(POLICY)
    other = linear_policy(load_task("two_joint_arm"))
    with pytest.raises(PolicyUpdateError, match="fingerprint"):
        check_update(update(other), running, np.zeros((0, TASK.obs_dim), np.float32), 2.0)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    assert read_key(path) == KEY


def test_short_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="32"):
        read_key(path)
