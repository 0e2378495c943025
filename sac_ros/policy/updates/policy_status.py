"""The status of a robot's policy, for its learner and for operators."""

import json
import math
from dataclasses import dataclass

from sac_ros.errors import InputError
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping
from sac_ros.task.transition import MAX_COUNT

MAX_STATUS_CHARACTERS = 16_384
MAX_BAD_VERSIONS = 64
MAX_REASON_LENGTH = 600
"""Characters; each may become six in JSON."""


class PolicyStatusError(InputError):
    """A status message is malformed."""


@dataclass(frozen=True, kw_only=True)
class PolicyStatus:
    """The whole state at one moment: each message replaces the last."""

    session: int = 0
    """The policy node's, as in its transitions; its counts begin anew with each."""
    version: int
    """Of the policy that runs; 0 is the file the node was configured with."""
    good_version: int
    """The one to come back to."""
    newest_version: int = 0
    """The newest version that passed the checks; older ones are refused."""
    waiting_version: int | None = None
    """One that was found fit and waits for its moment; None if none does."""
    waits_for: str = ""
    """What it waits for."""
    num_swaps: int = 0
    num_refused: int = 0
    refusal: str = ""
    """Why the last refused update was refused."""
    num_rollbacks: int = 0
    is_rolled_back: bool = False
    """Whether the running policy is there because a newer one was given up."""
    bad_versions: tuple[int, ...] = ()
    """Those that ran since the last good one and were given up: the first and the newest of them.
    All that ran between these two are bad too."""
    reason: str = ""
    """Of the last rollback."""
    baseline_return: float | None = None
    rolling_return: float | None = None
    bound: float | None = None
    num_episodes: int = 0

    def to_json(self) -> str:
        """Return the status as JSON."""
        return json.dumps(to_mapping(self))

    @classmethod
    def from_json(cls, text: str) -> "PolicyStatus":
        """Read a status back; raise PolicyStatusError."""
        if len(text) > MAX_STATUS_CHARACTERS:
            raise PolicyStatusError(f"the status has {len(text)} characters")
        try:
            status = parse_mapping(json.loads(text), cls, "policy status")
        except (ValueError, RecursionError, ConfigError) as error:
            raise PolicyStatusError(f"the status cannot be read: {error}") from error
        status._refuse_strange_numbers()
        return status

    def _refuse_strange_numbers(self) -> None:
        """Refuse what cannot be counted or compared with; a robot's own status is not asked."""
        counts = (
            *(self.session, self.version, self.good_version, *self.bad_versions),
            *(self.num_swaps, self.num_refused, self.num_rollbacks, self.num_episodes),
        )
        if not all(0 <= count < MAX_COUNT for count in counts):
            raise PolicyStatusError(f"the status has a count outside of [0, 2^53): {counts}")
        returns = (self.baseline_return, self.rolling_return, self.bound)
        if not all(value is None or math.isfinite(value) for value in returns):
            raise PolicyStatusError(f"the status has a return that is not finite: {returns}")
