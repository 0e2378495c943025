"""One control step of experience, and its packing into one flat row of numbers."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError

FLAGS = ("terminated", "truncated", "aborted", "intervention")
HEADER = ("episode", "step", "reward", *FLAGS, "policy", "session")
STAMP_LABELS = ("obs_stamps", "next_obs_stamps")
"""What follows the packed row in a message; see `pack_with_stamps`."""
MAX_STAMPS = 1024
MAX_COUNT = 2.0**53
"""Beyond it a float64 no longer holds every whole number."""
MAX_MAGNITUDE = 1e7
"""Of a reward or an observation. A learner squares products of the two in float32, and what leaves
its range there never comes back: the optimiser's moments would be infinite for good."""


class TransitionError(InputError):
    """A packed transition is malformed."""


def _no_stamps() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What a learner needs of one control step."""

    episode: int
    """Counts from 0 in a session."""
    step: int
    """Counts from 0 in the episode; a gap means that a transition was lost."""
    obs: NDArray[np.float32]
    action: NDArray[np.float64]
    """Executed action [A] in [-1, 1]."""
    reward: float
    next_obs: NDArray[np.float32]
    terminated: bool
    truncated: bool
    aborted: bool = False
    """A person cut the episode short here, which is one way to be truncated."""
    intervention: bool = False
    """A person commanded this step; `action` is what that person did."""
    policy: int = 0
    """Version of the policy that acted; 0 is the file the node was configured with."""
    session: int = 0
    """Number drawn anew each time the policy node is configured; 0 where none is known."""
    obs_stamps_s: NDArray[np.float64] = field(default_factory=_no_stamps)
    """Header stamps [S] of the messages that obs was made of, in s: with them, a bag's reader finds
    the very messages. One for each joint of a reading of joints, one for any other reading; 0 where
    a message carries none. Sent, but not part of what a learner keeps."""
    next_obs_stamps_s: NDArray[np.float64] = field(default_factory=_no_stamps)


def packed_layout(obs_dim: int, action_dim: int) -> tuple[tuple[str, int], ...]:
    """Return label and length of each part of a packed transition, in order."""
    return (
        *((label, 1) for label in HEADER),
        ("obs", obs_dim),
        ("action", action_dim),
        ("next_obs", obs_dim),
    )


def pack(transition: Transition) -> NDArray[np.float64]:
    """Return the transition as one row [9 + 2 O + A] in the order of `packed_layout`."""
    header = [
        float(transition.episode),
        float(transition.step),
        transition.reward,
        float(transition.terminated),
        float(transition.truncated),
        float(transition.aborted),
        float(transition.intervention),
        float(transition.policy),
        float(transition.session),
    ]
    return np.concatenate([header, transition.obs, transition.action, transition.next_obs])


def unpack(row: NDArray[np.float64], obs_dim: int, action_dim: int) -> Transition:
    """Return the transition of one row; raise TransitionError if its length or numbers are off."""
    expected = len(HEADER) + 2 * obs_dim + action_dim
    if row.shape != (expected,):
        raise TransitionError(f"transition has shape {row.shape}, expected ({expected},)")
    if not np.isfinite(row).all():
        raise TransitionError("transition holds a number that is not finite")
    parts = columns(obs_dim, action_dim)
    for label in ("reward", "obs", "next_obs"):
        largest = float(np.abs(row[parts[label]]).max())
        if largest > MAX_MAGNITUDE:
            raise TransitionError(
                f"transition has {label} {largest:g}, expected {MAX_MAGNITUDE:g} at most; change"
                " the units, or the weights of the reward"
            )
    header = row[: len(HEADER)]
    for label, value in zip(HEADER, header, strict=True):
        if label in FLAGS and value not in (0.0, 1.0):
            raise TransitionError(f"transition has {label} {value}, expected 0 or 1")
        if label in ("episode", "step", "policy", "session") and not (
            0.0 <= value < MAX_COUNT and value.is_integer()
        ):
            raise TransitionError(f"transition has {label} {value}, expected a count")
    episode, step, reward, terminated, truncated, aborted, intervention, *versions = header.tolist()
    if aborted and not truncated:
        raise TransitionError("transition is aborted and not truncated")
    return Transition(
        episode=int(episode),
        step=int(step),
        reward=reward,
        terminated=bool(terminated),
        truncated=bool(truncated),
        aborted=bool(aborted),
        intervention=bool(intervention),
        policy=int(versions[0]),
        session=int(versions[1]),
        obs=row[parts["obs"]].astype(np.float32),
        action=row[parts["action"]],
        next_obs=row[parts["next_obs"]].astype(np.float32),
    )


def new_session() -> int:
    """Return a number that no other run of a policy node has; never 0."""
    # Drawn, not counted or timed: a robot may lose its files, and its clock at every start.
    return secrets.randbelow(int(MAX_COUNT) - 1) + 1


def with_session(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows [..., W - 1] packed before there were sessions as rows [..., W] of session 0."""
    return np.insert(rows, HEADER.index("session"), 0.0, axis=-1)


def unpack_labelled(
    row: NDArray[np.float64], labels: Sequence[str], obs_dim: int, action_dim: int
) -> Transition:
    """Return the transition of a message's row whose parts are labelled; raise TransitionError.

    Labels without `session` come from a policy node, or a bag, from before there were sessions.
    """
    if "policy" in labels and "session" not in labels and len(row) >= len(HEADER):
        row = with_session(row)
    return unpack_with_stamps(row, obs_dim, action_dim)


def columns(obs_dim: int, action_dim: int) -> dict[str, slice]:
    """Return where each part of a packed transition lies in its row."""
    places, position = {}, 0
    for label, size in packed_layout(obs_dim, action_dim):
        places[label] = slice(position, position + size)
        position += size
    return places


def pack_with_stamps(transition: Transition) -> NDArray[np.float64]:
    """Return the transition as one row, followed by the stamps [2 S] of its two observations."""
    stamps_s = (transition.obs_stamps_s, transition.next_obs_stamps_s)
    return np.concatenate([pack(transition), *stamps_s])


def unpack_with_stamps(row: NDArray[np.float64], obs_dim: int, action_dim: int) -> Transition:
    """Return the transition of one row and its stamps, if it has any; raise TransitionError."""
    size = len(HEADER) + 2 * obs_dim + action_dim
    transition, stamps_s = unpack(row[:size], obs_dim, action_dim), row[size:]
    num_stamps, odd = divmod(len(stamps_s), 2)
    if odd or num_stamps > MAX_STAMPS or not np.isfinite(stamps_s).all():
        raise TransitionError(
            f"transition is followed by {len(stamps_s)} numbers, expected as many finite stamps for"
            f" obs as for next_obs, at most {MAX_STAMPS}"
        )
    return replace(
        transition, obs_stamps_s=stamps_s[:num_stamps], next_obs_stamps_s=stamps_s[num_stamps:]
    )
