"""Compare the returns of new policies with those of the policy that came, and reject bad ones."""

import math
import statistics
from collections import deque
from dataclasses import dataclass

GOOD_GAIN = 0.5
"""A policy is good if its return is at least baseline + GOOD_GAIN (best - baseline)."""


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """How much worse than before is too much."""

    baseline_episodes: int = 3
    """Episodes with the policy as it came, before any other is let in."""
    window: int = 3
    """Newest episodes of which no more than half may return less than the bound."""
    max_drop: float = 0.2
    """Share of the baseline's mean that the bound lies below it."""

    def __post_init__(self) -> None:
        """Refuse, by name, what bounds nothing."""
        for name in ("baseline_episodes", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.max_drop < 1.0:
            raise ValueError(f"max_drop must be in (0, 1), got {self.max_drop}")


class ReturnGuard:
    """Judges each episode by what came before it.

    The bound lies `max_drop` of the baseline's mean below it, and at least two of its standard
    deviations. It is broken when more than half of a window lies below it. Neither one bad episode
    nor the loss of what has been won breaks it: a hopper that learns falls between two leaps, and
    a pause that waits for a person would end the learning of a policy better than the one it was.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._baseline: list[float] = []
        self._baseline_steps: list[int] = []
        self._best = -math.inf
        self._recent: deque[float] = deque(maxlen=settings.window)

    @property
    def is_ready(self) -> bool:
        """Whether the baseline is complete, so that other policies may be let in."""
        return len(self._baseline) >= self._settings.baseline_episodes

    @property
    def baseline(self) -> float | None:
        """Mean return of the policy as it came."""
        return self._mean if self._baseline else None

    @property
    def bound(self) -> float | None:
        """Return below which an episode counts against the policies."""
        return self._mean - self._margin if self.is_ready else None

    @property
    def rolling(self) -> float | None:
        """Median return of the newest episodes with other policies."""
        return statistics.median(self._recent) if self._recent else None

    def add_baseline(self, episode_return: float, num_steps: int | None = None) -> None:
        """Count an episode of the policy as it came, and its length where that is known."""
        if self.is_ready:
            return
        self._baseline.append(episode_return)
        if num_steps is not None:
            self._baseline_steps.append(num_steps)

    def is_below_bound(self, episode_return: float) -> bool:
        """Say whether an episode counts against its policy; False without a baseline."""
        return self.bound is not None and episode_return < self.bound

    def projected(self, episode_return: float, num_steps: int) -> float | None:
        """Return what a short episode would have returned at the length of the baseline's.

        None where no length is known.
        """
        if not self._baseline_steps:
            return None
        return episode_return / num_steps * statistics.fmean(self._baseline_steps)

    def is_broken_by(self, episode_return: float) -> bool:
        """Count an episode of another policy; say whether the bound is broken now."""
        bound = self.bound
        assert bound is not None
        self._recent.append(episode_return)
        num_below = sum(recent < bound for recent in self._recent)
        if 2 * num_below > self._settings.window:
            return True
        if len(self._recent) == self._settings.window:
            self._best = max(self._best, statistics.median(self._recent))
        return False

    def is_good(self, episode_return: float) -> bool:
        """Say whether a policy with this return is one to come back to.

        Not being given up is not enough: where returns vary much the bound is far below, and what
        just passed it would be worse than what it had replaced.
        """
        if not self.is_ready:
            return False
        gain = max(0.0, self._best - self._mean)
        return episode_return >= self._mean + GOOD_GAIN * gain

    def forget_window(self) -> None:
        """Judge anew after a rollback."""
        self._recent.clear()

    @property
    def _mean(self) -> float:
        return statistics.fmean(self._baseline)

    @property
    def _margin(self) -> float:
        spread = statistics.stdev(self._baseline) if len(self._baseline) > 1 else 0.0
        return max(self._settings.max_drop * abs(self._mean), 2.0 * spread)
