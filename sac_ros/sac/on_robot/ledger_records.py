"""What ledger.json holds; see policy_ledger.py."""

from dataclasses import dataclass, field
from typing import Final, Literal

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """One version."""

    version: int
    """0 is the policy that came."""
    verdict: Literal["unknown", "good", "bad"] = "unknown"
    contract_sha256: str = ""
    """Of the contract in its file, which tells policies apart."""
    returns: tuple[float, ...] = ()
    """Newest returns of its own episodes, exploration included."""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """One rollback of a robot."""

    session: int
    """Of the policy node."""
    number: int
    """Counted from 1 in the session; 0 before the first."""


@dataclass(frozen=True, kw_only=True)
class RecentReturn:
    """An episode that is compared with others."""

    version: int
    episode_return: float
    robot_steps: int


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best median return so far."""

    bar: float | None = None
    """Median return to beat, that of version 0 included."""
    version: int | None = None
    """The one in best_policy.onnx; None while there is none."""
    median_return: float | None = None
    sha256: str = ""
    """Of best_policy.onnx."""
    recent: tuple[RecentReturn, ...] = ()
    """Newest episodes, fewer than are compared at once."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The content of ledger.json."""

    format: int = FORMAT
    newest_version: int = 0
    """Highest version ever given, or taken by the robot."""
    good_version: int = 0
    """The robot's last good one, by the last it said."""
    running_version: int = 0
    paused: str | None = None
    """Why nothing is learned; None while learning."""
    num_returns: int = 0
    """How often the learner went back; its own checkpoint holds the same number if it is newer."""
    returned_to: int = 0
    """Version that it went back to last."""
    heard: Rollback = Rollback(session=0, number=0)
    """The robot's session and rollbacks, by the last it said."""
    taken_up: Rollback | None = None
    """The rollback that the learner followed last."""
    resumed: Rollback | None = None
    """The rollback after which an operator let learning go on."""
    best: Best = field(default_factory=Best)
    policies: tuple[PolicyRecord, ...] = ()
    """By version."""
