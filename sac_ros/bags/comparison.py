"""What was computed from a bag's raw topics, beside what the node sent at the time."""

from dataclasses import dataclass, field

import numpy as np

from sac_ros.task.transition import Transition

NUMBERS = ("obs", "action", "reward", "next_obs")
FLAGS = ("step", "terminated", "truncated")
TOLERANCE = 1e-6
"""Of the larger magnitude, or absolute below one: what another machine's rounding may explain."""


@dataclass
class Comparison:
    """Counts of steps, and what the differing ones differ in."""

    num_exact: int = 0
    """Equal in every bit."""
    num_close: int = 0
    """Within TOLERANCE, in everything."""
    num_different: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    """How many of the different ones differ in this part."""
    largest: dict[str, float] = field(default_factory=dict)
    """Greatest difference of each part."""
    first: str | None = None
    """Which step was the first to differ."""

    @property
    def num_compared(self) -> int:
        """Steps that both sides have."""
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
        """Return what differs in words, and what such a difference mostly comes from."""
        parts = ", ".join(
            f"{name} in {count} (by up to {self.largest[name]:.3g})"
            for name, count in sorted(self.fields.items(), key=lambda item: -item[1])
        )
        if set(self.fields) == {"reward"}:
            reason = "the reward alone: the node had it from elsewhere, or from another task file"
        elif sampling == "arrival":
            reason = (
                "sampled by arrival: the node may have acted on the message before or after the one"
                " the recorder had then"
            )
        elif "action" in self.fields:
            reason = "the action: commands are missing in the bag, or others sent commands too"
        else:
            reason = (
                "another task file, a message that the node heard and the recorder did not, or a"
                " sensor without stamps, which is taken by arrival"
            )
        return f"first in {self.first}; {parts}; {reason}"


def _gap(computed: object, sent: object) -> float:
    """Return the greatest difference, relative beyond a magnitude of one; infinite for a NaN."""
    a, b = np.asarray(computed, dtype=np.float64), np.asarray(sent, dtype=np.float64)
    gap = np.abs(a - b) / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))
