"""Compare transitions computed from a bag with those that the node published."""

from dataclasses import dataclass, field

import numpy as np

from sac_ros.task.transition import Transition

NUMBERS = ("obs", "action", "reward", "next_obs")
FLAGS = ("step", "terminated", "truncated")
TOLERANCE = 1e-6
"""Tolerance for rounding on another machine: relative, or absolute for values below one."""


@dataclass
class Comparison:
    """Counts of equal and different steps, and the fields that differ."""

    num_exact: int = 0
    """Bitwise equal."""
    num_close: int = 0
    """All values within TOLERANCE."""
    num_different: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    """Field -> number of steps in which it differs."""
    largest: dict[str, float] = field(default_factory=dict)
    """Field -> largest difference."""
    first: str | None = None
    """Episode and step of the first difference."""

    @property
    def num_compared(self) -> int:
        """Number of compared steps."""
        return self.num_exact + self.num_close + self.num_different

    def add(self, computed: Transition, sent: Transition) -> None:
        """Compare one step."""
        gaps = {name: _gap(getattr(computed, name), getattr(sent, name)) for name in NUMBERS}
        differing = [name for name, gap in gaps.items() if gap > TOLERANCE]
        differing += [name for name in FLAGS if getattr(computed, name) != getattr(sent, name)]
        if differing:
            self.num_different += 1
            for name in differing:
                self.fields[name] = self.fields.get(name, 0) + 1
                self.largest[name] = max(self.largest.get(name, 0.0), gaps.get(name, 1.0))
            if self.first is None:
                self.first = f"episode {sent.episode}, step {sent.step}"
        elif any(gap > 0.0 for gap in gaps.values()):
            self.num_close += 1
        else:
            self.num_exact += 1

    def explain(self, sampling: str) -> str:
        """Describe the differences and their most likely cause."""
        parts = ", ".join(
            f"{name} in {count} (by up to {self.largest[name]:.3g})"
            for name, count in sorted(self.fields.items(), key=lambda item: -item[1])
        )
        if set(self.fields) == {"reward"}:
            reason = (
                "only the reward differs: the node used another source of reward, or another task"
                " file"
            )
        elif sampling == "arrival":
            reason = (
                "sampled by arrival: the node may have acted on the message before or after the one"
                " in the recorder"
            )
        elif "action" in self.fields:
            reason = (
                "the action differs: commands are missing in the bag, or another node sent"
                " commands too"
            )
        else:
            reason = (
                "possible causes: another task file, a message that did not reach the recorder, or"
                " a sensor without stamps, which is sampled by arrival"
            )
        return f"first in {self.first}; {parts}; {reason}"


def _gap(computed: object, sent: object) -> float:
    """Return the largest difference, relative for values above one; infinite for a NaN."""
    a, b = np.asarray(computed, dtype=np.float64), np.asarray(sent, dtype=np.float64)
    gap = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))
