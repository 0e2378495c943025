"""Updates per second without an environment: their bound, their scaling, the effect of a busy core.

Shapes: B batch, H width, O obs_dim, A action_dim, N = 2 critics.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.speed_report import Row
from sac_ros.sac.compute.execution import Execution
from sac_ros.sac.compute.precision import Precision
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sim_training.environments.env import gymnasium_task, make_vector_env
from sim_training.training.thread_choice import ThreadChoice

OBS_DIM, ACTION_DIM = 17, 6  # HalfCheetah's
NUM_ROWS: Final = 20_000
BATCHES: Final = (64, 256, 1024, 4096)
WIDTHS: Final = (128, 256, 512, 1024)
NUM_ENVS: Final = (1, 4, 16, 64)
UTD_RATIOS: Final = (1, 4, 20)
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of one update."""

    batch: int = 256
    width: int = 256


class Updating:
    """A learner and a full buffer; called, it samples a batch and takes an update."""

    def __init__(self, shape: Shape, execution: Execution) -> None:
        config = SACConfig(batch_size=shape.batch, hidden_sizes=(shape.width, shape.width))
        self._batch_size = shape.batch
        self._learner = SACLearner(OBS_DIM, ACTION_DIM, config, 0, execution)
        self._buffer = ReplayBuffer(NUM_ROWS, OBS_DIM, ACTION_DIM, seed=0)
        rng = np.random.default_rng(0)
        never = np.zeros(NUM_ROWS, dtype=bool)
        self._buffer.add(
            rng.standard_normal((NUM_ROWS, OBS_DIM)),
            rng.uniform(-1.0, 1.0, (NUM_ROWS, ACTION_DIM)),
            rng.standard_normal(NUM_ROWS),
            rng.standard_normal((NUM_ROWS, OBS_DIM)),
            never,
            never,
        )

    def __call__(self) -> None:
        """Take one update."""
        self._learner.update(self._buffer.sample(self._batch_size))


class Products:
    """The matrix products of one update and nothing else, as large as they can be stacked."""

    def __init__(self, shape: Shape, precision: Precision) -> None:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        batch, width = shape.batch, shape.width
        critic_in = OBS_DIM + ACTION_DIM
        # (stacked, rows, inner, columns), and how often: forward, then both gradients.
        shapes = [
            ((1, batch, OBS_DIM, width), 2),  # the actor's first layer, on obs and on next_obs
            ((1, batch, width, width), 3),  # its second layer twice, and the gradient of its input
            ((1, batch, width, 2 * ACTION_DIM), 2),
            ((1, OBS_DIM, batch, width), 1),  # gradients of the actor's weights
            ((1, width, batch, width), 1),
            ((1, width, batch, 2 * ACTION_DIM), 1),
            ((1, batch, 2 * ACTION_DIM, width), 1),
            ((2, batch, critic_in, width), 3),  # on the batch, targets, on new actions
            ((2, batch, width, width), 5),  # and the gradients of two of them
            ((2, critic_in, batch, width), 1),  # gradients of the critics' weights
            ((2, width, batch, width), 1),
            ((2, batch, width, critic_in), 1),  # the gradient of the new actions
        ]
        self.flops = 2 * sum(
            count * stacked * rows * inner * columns
            for (stacked, rows, inner, columns), count in shapes
        )
        self._pairs = [
            (
                torch.randn(stacked, rows, inner).to(dtype),
                torch.randn(stacked, inner, columns).to(dtype),
                torch.empty(stacked, rows, columns, dtype=dtype),
                count,
            )
            for (stacked, rows, inner, columns), count in shapes
        ]

    def __call__(self) -> None:
        """Multiply them all."""
        for left, right, out, count in self._pairs:
            for _ in range(count):
                torch.bmm(left, right, out=out)


def measure_updates(threads: Sequence[int], rounds: int, steps: int) -> list[Row]:
    """Measure updates a second, replay sampling included, beside the products alone."""
    rows = []
    for num_threads in threads:
        torch.set_num_threads(num_threads)
        torch.set_flush_denormal(True)
        subjects: dict[str, Callable[[], None]] = {}
        for precision in PRECISIONS:
            compiled = Execution(precision=precision, compiled=True)
            subjects[f"{precision} uncompiled"] = Updating(Shape(), Execution(precision=precision))
            subjects[precision] = Updating(Shape(), compiled)
            subjects[f"{precision} products alone"] = Products(Shape(), precision)
        rates = _in_turns(subjects, rounds, steps)
        medians = {name: statistics.median(values) for name, values in rates.items()}
        for name, values in rates.items():
            precision = name.split()[0]
            ratios = {
                "x uncompiled float32": medians[name] / medians["float32 uncompiled"],
                "of products alone": medians[name] / medians[f"{precision} products alone"],
            }
            rows.append(
                Row(what=name, threads=num_threads, unit="updates/s", rates=values, ratios=ratios)
            )
        rows += _profile(subjects, num_threads)
    return rows


def _profile(subjects: dict[str, Callable[[], None]], threads: int) -> list[Row]:
    """Divide the time of a compiled update into products, kernels and the rest."""
    rows = []
    for precision in PRECISIONS:
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for _ in range(50):
                subjects[precision]()
        shares = {"matrix products": 0.0, "compiled kernels": 0.0, "sampling, noise, calls": 0.0}
        for event in profiled.key_averages():
            if event.key in ("aten::bmm", "aten::mm", "aten::addmm", "aten::baddbmm"):
                part = "matrix products"
            elif "CompiledFxGraph" in event.key:
                part = "compiled kernels"
            else:
                part = "sampling, noise, calls"
            shares[part] += event.self_cpu_time_total / 50.0
        rows += [
            Row(what=f"{precision}: {part}", threads=threads, unit="us an update", rates=[share])
            for part, share in shares.items()
        ]
    return rows


def measure_scaling(rounds: int, steps: int) -> list[Row]:
    """Measure, on one thread, how the cost grows with each size, the others being the default."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = []
    shapes = {f"batch {batch}": Shape(batch=batch) for batch in BATCHES}
    shapes |= {f"width {width}": Shape(width=width) for width in WIDTHS}
    for name, shape in shapes.items():
        work = shape.batch * shape.width**2 / (256 * 256**2)
        subjects: dict[str, Callable[[], None]] = {
            precision: Updating(shape, Execution(precision=precision, compiled=True))
            for precision in PRECISIONS
        }
        rates = _in_turns(subjects, rounds, max(10, round(steps / max(1.0, work))))
        rows += [
            Row(what=f"{name}, {precision}", threads=1, unit="updates/s", rates=values)
            for precision, values in rates.items()
        ]
    for num_envs in NUM_ENVS:
        rows += _measure_collection(num_envs, rounds, steps)
    return rows


def _measure_collection(num_envs: int, rounds: int, steps: int) -> list[Row]:
    envs = make_vector_env(gymnasium_task("HalfCheetah-v5"), num_envs)
    envs.reset(seed=list(range(num_envs)))
    rng = np.random.default_rng(0)
    update = Updating(Shape(), Execution(compiled=True))
    rows = []
    for utd_ratio in UTD_RATIOS:

        def step(updates: int = utd_ratio * num_envs) -> None:
            envs.step(rng.uniform(-1.0, 1.0, (num_envs, ACTION_DIM)).astype(np.float32))
            for _ in range(updates):
                update()

        count = max(2, steps // (utd_ratio * num_envs))
        rates = _in_turns({"": step}, rounds, count)[""]
        rows.append(
            Row(
                what=f"{num_envs} environments, {utd_ratio} updates a step",
                threads=1,
                unit="environment steps/s",
                rates=[rate * num_envs for rate in rates],
            )
        )
    envs.close()
    return rows


def measure_neighbour(rounds: int, steps: int) -> list[Row]:
    """Measure one thread, two, and the choice between them, beside one busy process or none."""
    torch.set_flush_denormal(True)
    execution = Execution(compiled=True)
    learners = {threads: Updating(Shape(), execution) for threads in (1, 2)}
    chosen = Updating(Shape(), execution)
    choice = ThreadChoice("auto", first_trial=0, trial_period_s=2.0)

    def fixed(threads: int) -> Callable[[], None]:
        def update() -> None:
            torch.set_num_threads(threads)
            learners[threads]()

        return update

    def adaptive() -> None:
        torch.set_num_threads(choice.threads)
        with choice.timed():
            chosen()

    subjects = {"1 thread": fixed(1), "2 threads": fixed(2), "auto": adaptive}
    for subject in subjects.values():  # compiled, for one thread and for two
        for _ in range(100):
            subject()
    rows = []
    for is_busy in (False, True):
        with _busy_process(is_busy):
            rates = _in_turns(subjects, rounds, steps)
        beside = "beside a busy process" if is_busy else "alone"
        one = statistics.median(rates["1 thread"])
        rows += [
            Row(
                what=f"{name}, {beside}",
                threads=0 if name == "auto" else int(name[0]),
                unit="updates/s",
                rates=values,
                ratios={"x 1 thread": statistics.median(values) / one},
            )
            for name, values in rates.items()
        ]
    return rows


@contextmanager
def _busy_process(is_busy: bool) -> Iterator[None]:
    if not is_busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _in_turns(
    subjects: dict[str, Callable[[], None]], rounds: int, steps: int
) -> dict[str, list[float]]:
    """Return calls a second of each subject in each round, after a few unmeasured calls."""
    for subject in subjects.values():
        for _ in range(3):
            subject()
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            began_s = time.perf_counter()
            for _ in range(steps):
                subject()
            rates[name].append(steps / (time.perf_counter() - began_s))
    return rates
