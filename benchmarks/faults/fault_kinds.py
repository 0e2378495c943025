"""Kinds of faults between a robot and its policy, one function each.

Each trial draws onset, size and duration of its fault from a generator of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

LONG_S = 0.3
"""Longer than any reading of these tasks may be old."""


@dataclass(frozen=True)
class State:
    """A JointState on its way."""

    name: tuple[str, ...]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    stamp_s: float


Delivery = tuple[float, State]
"""Delay in s, and what arrives."""
Forward = Callable[[State, float], list[Delivery]]
"""A message as sent, and the time -> what becomes of it."""
Corrupt = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, as it acts while it lasts; what is not given stays as it is."""

    forward: Forward | None = None
    act: Corrupt | None = None
    """In place of the policy's action [A]."""
    veto: Callable[[], str | None] | None = None
    tick_delay_s: float = 0.0
    """How much later than due each control tick comes."""
    inference_s: float = 0.0
    """How long the policy takes."""
    presses_stop: bool = False
    restarts_robot: bool = False


class Required(Enum):
    """How the node must answer a fault."""

    NOTHING = auto()
    """Safe commands only: the node cannot notice the fault, or need not react."""
    REACTION = auto()
    """The reaction, in time."""
    REACTION_ONLY = auto()
    """The reaction, in time, and nothing else for as long as the fault lasts."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault and how the node must answer it."""

    name: str
    make: Callable[[np.random.Generator], Fault]
    required: Required
    extra_s: float = 0.0
    """Added to the bound of the reaction, where the task states another time."""


def _silence(rng: np.random.Generator) -> Fault:
    return Fault(forward=lambda state, now_s: [])


def _drop_some(rng: np.random.Generator) -> Fault:
    share = rng.uniform(0.2, 0.9)
    return Fault(forward=lambda state, now_s: [] if rng.random() < share else [(0.0, state)])


def _delay(rng: np.random.Generator) -> Fault:
    delay_s = rng.uniform(0.15, LONG_S)
    return Fault(forward=lambda state, now_s: [(delay_s, state)])


def _random_delay(rng: np.random.Generator) -> Fault:
    longest_s = rng.uniform(0.02, LONG_S)
    return Fault(forward=lambda state, now_s: [(rng.uniform(0.0, longest_s), state)])


def _duplicate(rng: np.random.Generator) -> Fault:
    gap_s = rng.uniform(0.0, 0.05)
    return Fault(forward=lambda state, now_s: [(0.0, state), (gap_s, state)])


def _reorder(rng: np.random.Generator) -> Fault:
    return Fault(forward=lambda state, now_s: [(0.03 * float(rng.random() < 0.5), state)])


def _repeat_last(rng: np.random.Generator) -> Fault:
    kept: list[State] = []

    def forward(state: State, now_s: float) -> list[Delivery]:
        kept.append(state)
        return [(0.0, kept[0])]

    return Fault(forward=forward)


def _values(change: Callable[[State], State]) -> Callable[[np.random.Generator], Fault]:
    return lambda rng: Fault(forward=lambda state, now_s: [(0.0, change(state))])


def _one_entry(field_name: str, value: float) -> Callable[[np.random.Generator], Fault]:
    def make(rng: np.random.Generator) -> Fault:
        def forward(state: State, now_s: float) -> list[Delivery]:
            values = getattr(state, field_name).copy()
            values[rng.integers(len(values))] = value
            return [(0.0, replace(state, **{field_name: values}))]

        return Fault(forward=forward)

    return make


def _bit_flips(rng: np.random.Generator) -> Fault:
    def forward(state: State, now_s: float) -> list[Delivery]:
        corrupt = {}
        for field_name in ("position", "velocity"):
            bits = getattr(state, field_name).copy().view(np.uint64)
            bits[rng.integers(len(bits))] ^= np.uint64(1) << np.uint64(rng.integers(64))
            corrupt[field_name] = bits.view(np.float64)
        return [(0.0, replace(state, **corrupt))]

    return Fault(forward=forward)


def _short_velocity(state: State) -> State:
    return replace(state, velocity=state.velocity[:-1])


def _without_last_joint(state: State) -> State:
    return replace(
        state, name=state.name[:-1], position=state.position[:-1], velocity=state.velocity[:-1]
    )


def _empty(state: State) -> State:
    return replace(state, name=(), position=np.zeros(0), velocity=np.zeros(0))


def _with_strangers(state: State) -> State:
    return replace(
        state,
        name=("gripper", *state.name, "lid"),
        position=np.concatenate([[9.0], state.position, [9.0]]),
        velocity=np.concatenate([[9.0], state.velocity, [9.0]]),
    )


def _shuffled_names(rng: np.random.Generator) -> Fault:
    def forward(state: State, now_s: float) -> list[Delivery]:
        order = rng.permutation(len(state.name))
        shuffled = replace(
            state,
            name=tuple(state.name[index] for index in order),
            position=state.position[order],
            velocity=state.velocity[order],
        )
        return [(0.0, shuffled)]

    return Fault(forward=forward)


def _permuted_values(state: State) -> State:
    return replace(state, position=state.position[::-1], velocity=state.velocity[::-1])


def _flipped_sign(state: State) -> State:
    return replace(state, position=-state.position, velocity=-state.velocity)


def _frozen(rng: np.random.Generator) -> Fault:
    kept: list[State] = []

    def forward(state: State, now_s: float) -> list[Delivery]:
        kept.append(state)
        return [(0.0, replace(kept[0], stamp_s=state.stamp_s))]

    return Fault(forward=forward)


def _spikes(rng: np.random.Generator) -> Fault:
    def forward(state: State, now_s: float) -> list[Delivery]:
        spike = rng.standard_normal(len(state.position)) * 10.0 ** rng.uniform(0.0, 6.0)
        return [(0.0, replace(state, velocity=state.velocity + spike))]

    return Fault(forward=forward)


def _clock(change: Callable[[float, float], float]) -> Callable[[np.random.Generator], Fault]:
    """Make a fault of the publisher's clock: true stamp and size -> stamp."""

    def make(rng: np.random.Generator) -> Fault:
        size_s = rng.uniform(0.5, 100.0)
        return Fault(
            forward=lambda state, now_s: [
                (0.0, replace(state, stamp_s=change(state.stamp_s, size_s)))
            ]
        )

    return make


def _stopped_clock(rng: np.random.Generator) -> Fault:
    stamps: list[float] = []

    def forward(state: State, now_s: float) -> list[Delivery]:
        stamps.append(state.stamp_s)
        return [(0.0, replace(state, stamp_s=stamps[0]))]

    return Fault(forward=forward)


def _random_stamps(rng: np.random.Generator) -> Fault:
    return Fault(
        forward=lambda state, now_s: [(0.0, replace(state, stamp_s=rng.uniform(-1e9, 1e9)))]
    )


def _flood(rng: np.random.Generator) -> Fault:
    """Send what was measured once a control period at 10 kHz, each copy newly stamped."""

    def forward(state: State, now_s: float) -> list[Delivery]:
        return [(1e-4 * n, replace(state, stamp_s=state.stamp_s + 1e-4 * n)) for n in range(100)]

    return Fault(forward=forward)


def _two_publishers(rng: np.random.Generator) -> Fault:
    """Let each half of the joints come from a publisher of its own, one of which dies."""

    def forward(state: State, now_s: float) -> list[Delivery]:
        half = len(state.name) // 2
        first = replace(
            state,
            name=state.name[:half],
            position=state.position[:half],
            velocity=state.velocity[:half],
        )
        return [(0.0, first)]

    return Fault(forward=forward)


def _action(value: float) -> Callable[[np.random.Generator], Fault]:
    return lambda rng: Fault(act=lambda action: np.full_like(action, value))


def _raise(action: NDArray[np.float64]) -> NDArray[np.float64]:
    raise RuntimeError("the policy failed")


def _held_up(rng: np.random.Generator) -> Fault:
    return Fault(tick_delay_s=rng.uniform(0.2, 2.0))


def _slow(rng: np.random.Generator) -> Fault:
    return Fault(inference_s=rng.uniform(0.2, 2.0))


def _bang_bang(rng: np.random.Generator) -> Fault:
    return Fault(act=lambda action: np.sign(rng.standard_normal(len(action))))


def _noise(rng: np.random.Generator) -> Fault:
    return Fault(act=lambda action: rng.uniform(-1.0, 1.0, len(action)) * 10.0 ** rng.uniform(0, 9))


def _veto_sometimes(rng: np.random.Generator) -> Fault:
    return Fault(veto=lambda: "near the wall" if rng.random() < 0.5 else None)


def _raise_in_veto() -> str | None:
    raise ValueError("the veto failed")


KINDS: tuple[Kind, ...] = (
    Kind("silence", _silence, Required.REACTION_ONLY),
    Kind("messages dropped", _drop_some, Required.NOTHING),
    Kind("messages held up", _delay, Required.REACTION_ONLY),
    Kind("random delays", _random_delay, Required.NOTHING),
    Kind("messages sent twice", _duplicate, Required.NOTHING),
    Kind("messages out of order", _reorder, Required.NOTHING),
    Kind("one message again and again", _repeat_last, Required.REACTION_ONLY),
    Kind("NaN position", _one_entry("position", math.nan), Required.REACTION_ONLY),
    Kind("NaN velocity", _one_entry("velocity", math.nan), Required.REACTION_ONLY),
    Kind("infinite position", _one_entry("position", math.inf), Required.REACTION_ONLY),
    Kind("infinite velocity", _one_entry("velocity", -math.inf), Required.REACTION_ONLY),
    Kind("huge velocity", _one_entry("velocity", 1e308), Required.NOTHING),
    Kind("denormal position", _one_entry("position", 5e-324), Required.NOTHING),
    Kind("flipped bits", _bit_flips, Required.NOTHING),
    Kind("lengths disagree", _values(_short_velocity), Required.REACTION_ONLY),
    Kind("joint missing", _values(_without_last_joint), Required.REACTION_ONLY),
    Kind("empty messages", _values(_empty), Required.REACTION_ONLY),
    Kind("half of the joints die", _two_publishers, Required.REACTION_ONLY),
    Kind("unknown joints", _values(_with_strangers), Required.NOTHING),
    Kind("joints in any order", _shuffled_names, Required.NOTHING),
    Kind("joints permuted", _values(_permuted_values), Required.NOTHING),
    Kind("sign flipped", _values(_flipped_sign), Required.NOTHING),
    Kind("sensor frozen", _frozen, Required.REACTION_ONLY, extra_s=0.1),
    Kind("spikes", _spikes, Required.NOTHING),
    Kind("clock set back", _clock(lambda t, size: t - size), Required.NOTHING),
    Kind("clock set ahead", _clock(lambda t, size: t + size), Required.NOTHING),
    Kind("clock runs fast", _clock(lambda t, size: t * (1.0 + 0.01 * size)), Required.NOTHING),
    Kind("clock stopped", _stopped_clock, Required.REACTION_ONLY),
    Kind("random stamps", _random_stamps, Required.NOTHING),
    Kind("flood at 10 kHz", _flood, Required.NOTHING),
    Kind("robot restarts elsewhere", lambda rng: Fault(restarts_robot=True), Required.NOTHING),
    Kind("node held up", _held_up, Required.REACTION),
    Kind("policy slow", _slow, Required.REACTION),
    Kind("policy gives NaN", _action(math.nan), Required.REACTION_ONLY),
    Kind("policy gives infinity", _action(-math.inf), Required.REACTION_ONLY),
    Kind("policy gives 1e300", _action(1e300), Required.NOTHING),
    Kind("policy gives denormals", _action(5e-324), Required.NOTHING),
    Kind("policy bangs from end to end", _bang_bang, Required.NOTHING),
    Kind("policy gives noise", _noise, Required.NOTHING),
    Kind("policy raises", lambda rng: Fault(act=_raise), Required.REACTION_ONLY),
    Kind("policy gives nothing", lambda rng: Fault(act=lambda a: a[:0]), Required.REACTION_ONLY),
    Kind("veto now and then", _veto_sometimes, Required.NOTHING),
    Kind("veto raises", lambda rng: Fault(veto=_raise_in_veto), Required.REACTION_ONLY),
    Kind("emergency stop", lambda rng: Fault(presses_stop=True), Required.REACTION_ONLY),
)
