"""Run a learner's update as one compiled function, or uncompiled where compilation fails."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import torch
from torch import Tensor

from sac_ros.sac.compute.adam import Adam
from sac_ros.sac.compute.execution import Execution

_log = logging.getLogger(__name__)

Function: TypeAlias = Callable[..., Tensor]
"""Takes a batch as tensors, steps every optimiser once, and returns M metrics [M]."""

_Key: TypeAlias = tuple[int, tuple[tuple[torch.Size, tuple[int, ...]], ...]]
"""The number of threads, and the shape and strides of each argument."""


class UpdateFunction:
    """One update: begins a step of every optimiser, then calls the update function.

    Losses, gradients, Adam and target networks compile to one piece of machine code for each batch
    size, memory layout and number of threads. The code holds the learner's tensors by address:
    write to them in place, never replace them.
    """

    def __init__(
        self, function: Function, optimizers: Sequence[Adam], execution: Execution
    ) -> None:
        self._function = function
        self._optimizers = optimizers
        self._compiled = execution.compiled
        self._is_cuda = torch.device(execution.device).type == "cuda"
        self._compiled_for: dict[_Key, Function] = {}

    def __call__(self, *tensors: Tensor) -> list[float]:
        """Run one update; return its M metrics, computed before the step."""
        for optimizer in self._optimizers:
            optimizer.begin_step()
        if not self._compiled:
            return _transfer(self._function(*tensors))
        layouts = tuple((tensor.shape, tensor.stride()) for tensor in tensors)
        key: _Key = (torch.get_num_threads(), layouts)
        if key not in self._compiled_for:
            return self._first_call(key, tensors)
        return _transfer(self._compiled_for[key](*tensors))

    def _first_call(self, key: _Key, tensors: tuple[Tensor, ...]) -> list[float]:
        _log.info("compiling the update: up to a minute once, a few seconds in later runs")
        began_s = time.monotonic()
        try:
            compiled = self._compile()
            reported = _transfer(compiled(*tensors))
        except torch._dynamo.exc.TorchDynamoException as error:
            # Compilation fails before anything is executed: no tensor has changed.
            self._compiled = False
            cause = getattr(error, "inner_exception", error)
            _log.warning(_WITHOUT_COMPILATION.format(str(cause).strip().splitlines()[0]))
            return _transfer(self._function(*tensors))
        _log.info(f"compiled in {time.monotonic() - began_s:.0f} s")
        self._compiled_for[key] = compiled
        return reported

    def _compile(self) -> Function:
        # Set here, because torch keeps these settings per thread.
        _prepare_compiler()
        if self._is_cuda:
            # CUDA graphs replay on fixed addresses; these tensors are updated in place.
            for optimizer in self._optimizers:
                for tensor in (*optimizer.parameters, *optimizer.working_tensors):
                    torch._dynamo.mark_static_address(tensor)
        # torch's type stubs lack isolate_recompiles.
        compiled: Function = torch.compile(  # type: ignore[call-overload]
            self._function,
            fullgraph=True,
            dynamic=False,
            # Several learners in one process run the same code on different tensors.
            isolate_recompiles=True,
            options={
                "triton.cudagraphs": self._is_cuda,
                # Guards are not needed: threads and layouts are compared in __call__, tensors are
                # never replaced, and settings never change.
                "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
            },
        )
        return compiled


_WITHOUT_COMPILATION: Final = (
    "updates run uncompiled, at half to two thirds of the speed: {}; compilation needs a C++"
    " compiler and Python's headers: apt install g++ python3-dev"
)


def _prepare_compiler() -> None:
    # The function computes gradients inside; the compiler traces that only with this setting.
    torch._dynamo.config.trace_autograd_ops = True
    # torch's default cache is in /tmp, which is emptied at every boot.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sac_ros"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:  # the home folder is not writable
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "torchinductor"))


def _transfer(reported: Tensor) -> list[float]:
    # A single transfer: on a GPU, every .item() waits for the device.
    values: list[float] = reported.tolist()
    return values
