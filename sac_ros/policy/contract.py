"""What a policy file says of itself: the task it was trained for, where it came from, and proof.

The contract is JSON at full precision under one metadata key of the ONNX file. A second key holds
the sha256 of the whole file, taken with that digest's own 64 characters replaced by zeros, so that
no byte can change unseen: not a weight, not a limit.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sac_ros.errors import InputError
from sac_ros.policy.onnx_file import PolicyFileError, Span, metadata_spans
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping
from sac_ros.task.task_spec import TaskSpec

SCHEMA_VERSION = 1
CONTRACT_KEY = "sac_ros"
DIGEST_KEY = "sac_ros_sha256"
DIGEST_PLACEHOLDER = "0" * 64

MAX_FILE_BYTES = 64 * 1024 * 1024

NUM_GOLDEN_PAIRS = 32

Table: TypeAlias = tuple[tuple[float, ...], ...]


class PolicyMismatchError(InputError):
    """The policy is whole, but was made for another task or another version of this package."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a policy came from."""

    algorithm: str
    seed: int | None
    """None if whoever trained it did not say."""
    steps: int
    """Environment steps of training."""
    command: str
    git_commit: str
    created_utc: str
    packages: dict[str, str]
    evaluation_return: float | None = None
    """Mean return of the last evaluation, deterministic."""
    training_run_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenPairs:
    """Observations and what the trained actor made of them, to be reproduced wherever it runs."""

    obs: Table
    mean: Table
    log_std: Table

    @property
    def outputs(self) -> dict[str, Table]:
        """What the graph computed, by the names of its outputs."""
        return {"mean": self.mean, "log_std": self.log_std}


@dataclass(frozen=True, kw_only=True)
class GoldenLogits:
    """The same for a discrete policy: a logit for each of the task's choices."""

    obs: Table
    logits: Table

    @property
    def outputs(self) -> dict[str, Table]:
        """What the graph computed, by the names of its outputs."""
        return {"logits": self.logits}


@dataclass(frozen=True, kw_only=True)
class PolicyContract:
    """Everything a robot must know, and check, before it lets a policy act."""

    schema_version: int
    task: TaskSpec
    task_fingerprint: str
    obs_low: tuple[float, ...]
    """Least value of each obs entry seen in training [O]."""
    obs_high: tuple[float, ...]
    """Greatest value of each obs entry seen in training [O]."""
    provenance: Provenance
    golden: GoldenPairs | GoldenLogits
    """Gaussian policies have the first, discrete ones the second."""

    def __post_init__(self) -> None:
        """Refuse parts whose lengths disagree and numbers that are not finite."""
        is_discrete = isinstance(self.golden, GoldenLogits)
        if is_discrete != (self.task.action.choices is not None):
            raise ValueError(
                "the policy is discrete, but its task has no choices"
                if is_discrete
                else "the task has choices, but the policy is not discrete"
            )
        obs_dim = self.task.obs_dim
        vectors = (("obs_low", self.obs_low), ("obs_high", self.obs_high))
        rows = (
            ("golden obs", self.golden.obs, obs_dim),
            *(
                (f"golden {name}", table, self.output_width)
                for name, table in self.golden.outputs.items()
            ),
            *((name, (vector,) * NUM_GOLDEN_PAIRS, obs_dim) for name, vector in vectors),
        )
        for name, table, length in rows:
            if len(table) != NUM_GOLDEN_PAIRS:
                raise ValueError(f"{name} has {len(table)} rows, expected {NUM_GOLDEN_PAIRS}")
            for row in table:
                if len(row) != length:
                    raise ValueError(f"{name} has {len(row)} entries, expected {length}")
                if not all(math.isfinite(value) for value in row):
                    raise ValueError(f"{name} is not finite")
        if self.task_fingerprint != self.task.fingerprint:
            raise ValueError("task and task_fingerprint disagree")

    @property
    def output_width(self) -> int:
        """Entries of each output of the graph: A, or the number of choices."""
        choices = self.task.action.choices
        return self.task.action_dim if choices is None else len(choices)

    def to_json(self) -> str:
        """Return the contract as JSON; Python writes floats so that they read back exactly."""
        return json.dumps(to_mapping(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "PolicyContract":
        """Read a contract back; raise PolicyFileError or PolicyMismatchError."""
        try:
            mapping = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise PolicyFileError(f"the contract is not JSON: {error}") from error
        if not isinstance(mapping, dict):
            raise PolicyFileError("the contract is not a JSON object; export the policy again")
        version = mapping.get("schema_version")
        if version != SCHEMA_VERSION:
            raise PolicyMismatchError(
                f"the contract has schema version {version!r}, but this sac_ros reads"
                f" {SCHEMA_VERSION}; export the policy again with this version"
            )
        try:
            return parse_mapping(mapping, cls, "contract")
        except ConfigError as error:
            raise PolicyFileError(f"{error}; export the policy again") from error


def seal(content: bytes) -> bytes:
    """Return the model with the digest of all its bytes filled into its placeholder."""
    span = _digest_span(content)
    if content[span.start : span.end] != DIGEST_PLACEHOLDER.encode():
        raise ValueError(f"metadata {DIGEST_KEY} must be {len(DIGEST_PLACEHOLDER)} zeros to seal")
    digest = hashlib.sha256(content).hexdigest().encode()
    return content[: span.start] + digest + content[span.end :]


def open_sealed(content: bytes) -> PolicyContract:
    """Return the contract of a sealed model; raise PolicyFileError if any byte was changed."""
    span = _digest_span(content)
    found = content[span.start : span.end]
    blank = content[: span.start] + DIGEST_PLACEHOLDER.encode() + content[span.end :]
    expected = hashlib.sha256(blank).hexdigest().encode()
    if found != expected:
        raise PolicyFileError(
            "the sha256 in the file does not match its bytes: it was damaged or changed after its"
            " export; copy it again or export it again"
        )
    spans = metadata_spans(content)
    if CONTRACT_KEY not in spans:
        raise PolicyFileError(f"the file has no {CONTRACT_KEY!r} metadata; use `sac-ros export`")
    contract = content[spans[CONTRACT_KEY].start : spans[CONTRACT_KEY].end]
    try:
        return PolicyContract.from_json(contract.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyFileError(f"the contract is not UTF-8: {error}") from error


def read_contract(path: Path) -> PolicyContract:
    """Return the contract of a policy file, without onnxruntime.

    Raises PolicyFileError (unreadable, damaged, oversize) or PolicyMismatchError (other schema),
    each naming the file.
    """
    with naming_policy_file(path):
        return open_sealed(read_policy_file(path))


def read_policy_file(path: Path) -> bytes:
    """Return the bytes of a policy file; raise OSError, or PolicyFileError if it is oversize."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise PolicyFileError(f"has {size} bytes, more than the {MAX_FILE_BYTES} allowed")
    return path.read_bytes()


@contextmanager
def naming_policy_file(path: Path) -> Iterator[None]:
    """Let what goes wrong in here name the file: PolicyFileError or PolicyMismatchError."""
    try:
        yield
    except OSError as error:
        raise PolicyFileError(f"cannot read policy {path}: {error.strerror}") from error
    except PolicyMismatchError as error:
        raise PolicyMismatchError(f"policy {path}: {error}") from error
    except PolicyFileError as error:
        raise PolicyFileError(f"policy {path}: {error}") from error


def _digest_span(content: bytes) -> Span:
    span = metadata_spans(content).get(DIGEST_KEY)
    if span is None:
        raise PolicyFileError(
            f"the file has no {DIGEST_KEY!r} metadata, so it was not exported by sac_ros;"
            " use `sac-ros export`"
        )
    return span
