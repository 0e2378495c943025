"""One SAC in a process of its own that trains on request, to compare speeds.

    python -m benchmarks.speed.training_subjects SUBJECT THREADS

Prints `ready` in steady state. Then, for every line with a number of environment steps, it takes
them and prints the duration in seconds. All of them train HalfCheetah-v5 with one environment,
batch 256, two hidden layers of 256, and one update of critics, actor and temperature a step.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

ENV_ID: Final = "HalfCheetah-v5"
LEARNING_STARTS: Final = 5_000
WARM_UP_UPDATES: Final = 100
"""After the first: compilation, caches and allocators have settled."""
NEVER: Final = 1_000_000_000


class TurnTaker:
    """Is called after every environment step; lets the training go on only while it is its turn."""

    def __init__(self) -> None:
        self._left = LEARNING_STARTS + WARM_UP_UPDATES
        self._began_s: float | None = None

    def step(self) -> None:
        """Count one step; at the end of a turn report it, and wait for the next one."""
        self._left -= 1
        if self._left > 0:
            return
        now_s = time.perf_counter()
        print("ready" if self._began_s is None else f"{now_s - self._began_s:.6f}", flush=True)
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # nobody asks any more; there is nothing to save
        self._left = int(line)
        self._began_s = time.perf_counter()


class TurnDisplay(TurnTaker):
    """The same, in the place of this project's progress display, which sees every step."""

    def __enter__(self) -> "TurnDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def is_due(self) -> bool:
        """Count a step; never wants to show anything."""
        self.step()
        return False

    def show(self, *_: object) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Print it on stderr, where it is no answer."""
        print(line, file=sys.stderr, flush=True)


def sac_ros(precision: str, *, compiled: bool = True) -> Callable[[int], None]:
    """Return this project's: the loop behind `sac-ros train`, as it is."""

    def run(threads: int) -> None:
        from sim_training.commands import train

        train.make_display = lambda steps: TurnDisplay()  # type: ignore[assignment]
        with tempfile.TemporaryDirectory() as folder:
            train.main(
                [
                    *("--env", ENV_ID, "--out", str(Path(folder) / "run")),
                    *("--steps", str(NEVER), "--eval-every", str(NEVER)),
                    *("--checkpoint-every", str(NEVER), "--threads", str(threads)),
                    *("--precision", precision),
                    "--compiled" if compiled else "--no-compiled",
                    *("--sac.learning-starts", str(LEARNING_STARTS)),
                ]
            )

    return run


def _peer(make: Callable[[], type[Any]]) -> Callable[[int], None]:
    def run(threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        from stable_baselines3.common.callbacks import BaseCallback

        class Turns(BaseCallback):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self._turns = TurnTaker()

            def _on_step(self) -> bool:
                self._turns.step()
                return True

        model = make()(
            "MlpPolicy",
            ENV_ID,
            batch_size=256,
            learning_starts=LEARNING_STARTS,
            train_freq=1,
            gradient_steps=1,
            policy_kwargs={"net_arch": [256, 256]},
        )
        model.learn(NEVER, callback=Turns())

    return run


def _sb3() -> type[Any]:
    from stable_baselines3 import SAC

    return SAC  # type: ignore[no-any-return]


def _sbx() -> type[Any]:
    from sbx import SAC

    return SAC  # type: ignore[no-any-return]


SUBJECTS: Final[dict[str, Callable[[int], None]]] = {
    "sb3": _peer(_sb3),
    "sbx": _peer(_sbx),
    "sac_ros float32 uncompiled": sac_ros("float32", compiled=False),
    "sac_ros float32": sac_ros("float32"),
    "sac_ros bfloat16": sac_ros("bfloat16"),
}


def environment(subject: str, threads: int) -> dict[str, str]:
    """Return what must be set before a subject's process begins; JAX reads nothing else."""
    if subject != "sbx":
        return {}
    eigen = "true" if threads > 1 else "false"
    flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
    return {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


if __name__ == "__main__":
    name, num_threads = sys.argv[1], int(sys.argv[2])
    if name == "sbx" and num_threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    SUBJECTS[name](num_threads)
