"""A policy on its way from a learner to a robot: its bytes, who they are for, and whose they are.

One line of JSON, then the policy file. The line names the sha256 of the file and, where both sides
have a key, an HMAC over the line and the file: who lacks the key can neither make an update nor
change one, and the version, which only grows, keeps an old one from being sent again.
"""

import hashlib
import hmac
import json
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from sac_ros.errors import InputError
from sac_ros.policy.contract import MAX_FILE_BYTES
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping

FORMAT = 1
MAX_HEADER_BYTES = 4096
MAX_UPDATE_BYTES = MAX_HEADER_BYTES + MAX_FILE_BYTES
MIN_KEY_BYTES = 32


class PolicyUpdateError(InputError):
    """An update is malformed, not authentic, or not for this robot now."""


class KeyFileError(InputError):
    """A key file is missing, too short, or readable by others."""


@dataclass(frozen=True, kw_only=True)
class UpdateHeader:
    """What the learner says of the policy it sends."""

    format: int = FORMAT
    version: int
    """Grows with every update of a robot's learner, also over restarts; at least 1."""
    num_rollbacks: int
    """Rollbacks of the robot that the learner knows of: one that has missed the last is refused."""
    robot_steps: int
    """Transitions of the robot that the learner had seen."""
    task_fingerprint: str
    sha256: str
    """Of the policy file."""
    hmac: str = ""
    """HMAC-SHA256 in hexadecimal; empty without a key."""


@dataclass(frozen=True, kw_only=True)
class PolicyUpdate:
    """A header and the policy file it describes."""

    header: UpdateHeader
    policy: bytes


def pack_update(update: PolicyUpdate, key: bytes | None) -> bytes:
    """Return the bytes to send, signed if there is a key."""
    header = replace(update.header, hmac="")
    if key is not None:
        header = replace(header, hmac=_hmac(header, update.policy, key))
    return json.dumps(to_mapping(header)).encode() + b"\n" + update.policy


def open_update(content: bytes, key: bytes | None) -> PolicyUpdate:
    """Return the update in these bytes; raise PolicyUpdateError unless it is whole and authentic.

    The policy itself is not looked into: only what is authentic deserves that.
    """
    if len(content) > MAX_UPDATE_BYTES:
        raise PolicyUpdateError(f"has {len(content)} bytes, more than {MAX_UPDATE_BYTES}")
    line, newline, policy = content[:MAX_HEADER_BYTES].partition(b"\n")
    if not newline:
        raise PolicyUpdateError(f"has no header in its first {MAX_HEADER_BYTES} bytes")
    policy = content[len(line) + 1 :]
    try:
        header = parse_mapping(json.loads(line), UpdateHeader, "header")
    except (ValueError, RecursionError, ConfigError) as error:
        raise PolicyUpdateError(f"header cannot be read: {error}") from error
    if header.format != FORMAT:
        raise PolicyUpdateError(f"has format {header.format}, expected {FORMAT}")
    if key is not None and not hmac.compare_digest(
        header.hmac.encode(), _hmac(replace(header, hmac=""), policy, key).encode()
    ):
        raise PolicyUpdateError(
            "its HMAC is not that of our key; give learner and policy node the same key_file"
            if header.hmac
            else "is not signed, but this robot has a key; give the learner the same key_file"
        )
    if hashlib.sha256(policy).hexdigest() != header.sha256:
        raise PolicyUpdateError("the sha256 of its policy differs from its header's")
    return PolicyUpdate(header=header, policy=policy)


def read_key(path: Path) -> bytes:
    """Return the key in a file that nobody but its owner can read; raise KeyFileError."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"cannot read key_file {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"key_file {path} has mode {stat.S_IMODE(mode):o}, so others can use it; chmod 600 it"
        )
    if len(key) < MIN_KEY_BYTES:
        raise KeyFileError(
            f"key_file {path} has {len(key)} bytes, expected at least {MIN_KEY_BYTES};"
            f" make one with: head -c 32 /dev/urandom > {path}"
        )
    return key


def _hmac(header: UpdateHeader, policy: bytes, key: bytes) -> str:
    message = json.dumps(to_mapping(header), sort_keys=True).encode() + b"\n" + policy
    return hmac.new(key, message, hashlib.sha256).hexdigest()
