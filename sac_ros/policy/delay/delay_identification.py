"""Identify the delay between commands and their effect from the normal motion of a robot.

No test signal is needed: the policy's own commands excite the robot enough, more so if it explores.
For each candidate delay d, a linear model predicts how the readings change between two moments,

    (x(t + h) - x(t)) / h = A x(t) + B mean of u over [t - d, t + h - d] + c.

The delay whose model has the smallest residual is chosen (comparison of ARX models: Björklund and
Ljung, A review of time-delay estimation techniques, IEEE CDC 2003). Commands are held until the
next one, and their send times are known, so d can be finer than a control period. The confidence
interval is a block bootstrap (Carlstein, Annals of Statistics 14(3), 1986).

Shapes: n commands, m samples, A action_dim, R readings, D delays that are tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError

GRID_S = 0.001
"""Step between two candidate delays."""
NUM_BLOCKS = 40
NUM_BOOTSTRAP = 100
MIN_SAMPLES = 100
LONGEST_STEP = 3.0
"""In steps h: pairs of moments that are further apart, because of lost messages, are not used."""
MIN_EXPLAINED = 0.02
"""Minimum fraction of the residual that commands must explain; noise explains almost nothing."""
MORE_MOTION_ADVICE = "move more, with action_mode: sample, or for longer"
TINY = 1e-12
RIDGE = 1e-9
"""Ridge factor, relative to the inputs' total power, for constant or redundant inputs."""


class DelayError(InputError):
    """The delay cannot be identified from the recording."""


@dataclass(frozen=True, kw_only=True)
class MotionSegment:
    """A recording without interruption by a reset, a fault reaction or a gap."""

    command_times_s: NDArray[np.float64]  # [n], ascending
    commands: NDArray[np.float64]  # [n, A]; each held until the next
    times_s: NDArray[np.float64]  # [m], ascending, of the same clock
    readings: NDArray[np.float64]  # [m, R]


@dataclass(frozen=True, kw_only=True)
class Delay:
    """A delay in s with its 95 % confidence interval."""

    best_s: float
    low_s: float
    high_s: float
    explained: float
    """Fraction, in [0, 1], of the residual without commands that the commands explain."""


def identify_delay(
    stretches: Sequence[MotionSegment], *, max_delay_s: float, step_s: float
) -> Delay:
    """Return the delay between sending a command and its effect on the readings.

    Candidates are up to `max_delay_s`; `step_s` is the h of the model. Raises DelayError if the
    commands explain too little of the motion.
    """
    delays_s = np.arange(0.0, max_delay_s + GRID_S / 2.0, GRID_S)
    blocks = _blocks(stretches, max_delay_s, step_s)
    rng = np.random.default_rng(0)
    redrawn = rng.multinomial(len(blocks), np.full(len(blocks), 1.0 / len(blocks)), NUM_BOOTSTRAP)
    counts = np.vstack([np.ones(len(blocks)), redrawn])  # the recording itself, then redrawn
    rests, without = _residuals(blocks, delays_s, counts)
    chosen_s = delays_s[rests.argmin(axis=0)]
    best_s = float(chosen_s[0])
    explained = 1.0 - float(rests[:, 0].min()) / without if without > 0.0 else 0.0
    if not explained > MIN_EXPLAINED:
        raise DelayError(
            f"the commands explain {100.0 * max(0.0, explained):.1f} % of the motion, too little to"
            f" identify the delay; {MORE_MOTION_ADVICE}"
        )
    low_s, high_s = (float(bound) for bound in np.percentile(chosen_s[1:], (2.5, 97.5)))
    if high_s - low_s > max_delay_s / 4.0:
        raise DelayError(
            f"the delay is between {low_s:.3f} s and {high_s:.3f} s, which is too uncertain;"
            f" {MORE_MOTION_ADVICE}"
        )
    if high_s >= delays_s[-1]:
        raise DelayError(
            f"the delay is at least {delays_s[-1]:.3f} s, the longest candidate; check that the"
            " commands reach this robot"
        )
    return Delay(
        best_s=best_s,
        low_s=min(best_s, low_s),
        high_s=max(best_s, high_s),
        explained=explained,
    )


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Consecutive moments, resampled together in the bootstrap."""

    stretch: MotionSegment
    firsts: NDArray[np.intp]
    lasts: NDArray[np.intp]
    integral: NDArray[np.float64]  # [n, A]: of the held commands over time


def _blocks(stretches: Sequence[MotionSegment], max_delay_s: float, step_s: float) -> list[_Block]:
    """Return blocks of pairs of moments, about `step_s` apart, with known commands."""
    pairs = [_pairs(stretch, max_delay_s, step_s) for stretch in stretches]
    count = sum(len(firsts) for firsts, _ in pairs)
    if count < MIN_SAMPLES:
        raise DelayError(
            f"{count} usable moments, expected at least {MIN_SAMPLES}; record for longer, with"
            f" episodes of more than {max_delay_s} s"
        )
    size = max(1, count // NUM_BLOCKS)
    blocks = []
    for stretch, (firsts, lasts) in zip(stretches, pairs, strict=True):
        durations_s = np.diff(stretch.command_times_s)[:, None]
        integral = np.concatenate(
            [np.zeros((1, stretch.commands.shape[1])), stretch.commands[:-1] * durations_s]
        ).cumsum(axis=0)
        for begin in range(0, len(firsts), size):
            some = slice(begin, begin + size)
            blocks.append(
                _Block(stretch=stretch, firsts=firsts[some], lasts=lasts[some], integral=integral)
            )
    return blocks


def _pairs(
    stretch: MotionSegment, max_delay_s: float, step_s: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    times_s = stretch.times_s
    if len(stretch.command_times_s) < 2 or len(times_s) < 2:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    # The sample about one step later.
    lasts = np.searchsorted(times_s, times_s + 0.75 * step_s)
    firsts = np.flatnonzero(lasts < len(times_s))
    lasts = lasts[firsts]
    begins_s, ends_s = times_s[firsts], times_s[lasts]
    is_usable = (
        (ends_s - begins_s < LONGEST_STEP * step_s)
        & (begins_s - max_delay_s >= stretch.command_times_s[0])
        & (ends_s <= stretch.command_times_s[-1])
    )
    return firsts[is_usable], lasts[is_usable]


def _residuals(
    blocks: Sequence[_Block], delays_s: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return the residual of each delay's model [D, K], and the residual without commands.

    `counts` [K, blocks] is how often each block occurs in each of K resamples. All columns are
    scaled to a standard deviation of about one, so that units do not matter.
    """
    parts = [_readings_and_changes(block) for block in blocks]
    readings, changes = (np.concatenate(some) for some in zip(*parts, strict=True))
    scaled = (readings - readings.mean(axis=0)) / (readings.std(axis=0) + TINY)
    fixed = np.hstack([scaled, np.ones((len(scaled), 1))])
    outputs = changes / (changes.std(axis=0) + TINY)
    commands = [block.stretch.commands for block in blocks]
    command_scale = np.abs(np.concatenate(commands)).max(axis=0) + TINY
    ends = np.cumsum([len(block.firsts) for block in blocks])
    slices = [slice(end - len(block.firsts), end) for end, block in zip(ends, blocks, strict=True)]
    rests = np.zeros((len(delays_s), len(counts)))
    for index, delay_s in enumerate(delays_s):
        means = np.concatenate([_mean_commands(block, float(delay_s)) for block in blocks])
        rows = np.hstack([fixed, means / command_scale, outputs])
        # Z'Z of each block; a resample sums them, weighted with its counts.
        grams = np.stack([rows[some].T @ rows[some] for some in slices])
        rests[index] = _unexplained(np.tensordot(counts, grams, 1), outputs.shape[1])
    alone = np.hstack([fixed, outputs])
    return rests, float(_unexplained((alone.T @ alone)[None], outputs.shape[1])[0])


def _unexplained(grams: NDArray[np.float64], num_outputs: int) -> NDArray[np.float64]:
    """Return the residual sum [K] of regressing the last columns of Z on the others, from Z'Z."""
    num_inputs = grams.shape[1] - num_outputs
    inputs, cross = grams[:, :num_inputs, :num_inputs], grams[:, :num_inputs, num_inputs:]
    ridge = RIDGE * np.trace(inputs, axis1=1, axis2=2)[:, None, None] * np.eye(num_inputs)
    fitted = np.linalg.solve(inputs + ridge, cross)
    total = np.diagonal(grams[:, num_inputs:, num_inputs:], axis1=1, axis2=2).sum(axis=1)
    rests: NDArray[np.float64] = total - (cross * fitted).sum(axis=(1, 2))
    return rests


def _readings_and_changes(block: _Block) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    readings, times_s = block.stretch.readings, block.stretch.times_s
    step_s = (times_s[block.lasts] - times_s[block.firsts])[:, None]
    return readings[block.firsts], (readings[block.lasts] - readings[block.firsts]) / step_s


def _mean_commands(block: _Block, delay_s: float) -> NDArray[np.float64]:
    """Return the mean command [m, A] between each pair of moments, `delay_s` earlier."""
    times_s = block.stretch.times_s
    begins_s, ends_s = times_s[block.firsts] - delay_s, times_s[block.lasts] - delay_s
    columns = [
        (
            np.interp(ends_s, block.stretch.command_times_s, integral)
            - np.interp(begins_s, block.stretch.command_times_s, integral)
        )
        / (ends_s - begins_s)
        for integral in block.integral.T
    ]
    return np.stack(columns, axis=1)
