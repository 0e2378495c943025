"""One whole update of a learner as one function: compiled where that works, else as written."""

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
"""Takes tensors and returns what is to be reported [M], after stepping every optimiser once."""

_Key: TypeAlias = tuple[int, tuple[tuple[torch.Size, tuple[int, ...]], ...]]
"""Number of threads, and shape and strides of each argument."""


class UpdateFunction:
    """Counts the step of every optimiser, then runs the update.

    Compiled, losses, gradients, Adam and target networks are one piece of machine code for each
    batch size, memory layout and number of threads. It holds the learner's tensors by address: they
    may be written to, never replaced.
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
        """Run one update and return what it reports [M], from before the step was taken."""
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
            # Compilation comes before the first instruction: no tensor has been touched.
            self._compiled = False
            cause = getattr(error, "inner_exception", error)
            _log.warning(_WITHOUT_COMPILATION.format(str(cause).strip().splitlines()[0]))
            return _transfer(self._function(*tensors))
        _log.info(f"compiled in {time.monotonic() - began_s:.0f} s")
        self._compiled_for[key] = compiled
        return reported

    def _compile(self) -> Function:
        # Here, because torch keeps these settings for each thread.
        _prepare_compiler()
        if self._is_cuda:
            # A captured graph replays on fixed addresses; these it may write to in place.
            for optimizer in self._optimizers:
                for tensor in (*optimizer.parameters, *optimizer.working_tensors):
                    torch._dynamo.mark_static_address(tensor)
        # Its overloads do not know isolate_recompiles.
        compiled: Function = torch.compile(  # type: ignore[call-overload]
            self._function,
            fullgraph=True,
            dynamic=False,
            # Another learner's update is the same code on other tensors.
            isolate_recompiles=True,
            options={
                "triton.cudagraphs": self._is_cuda,
                # What guards would catch cannot happen: threads and layouts are compared here,
                # tensors are never replaced, settings never change.
                "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
            },
        )
        return compiled


_WITHOUT_COMPILATION: Final = (
    "updates run uncompiled, at half to two thirds of the speed: {}; compilation needs a C++"
    " compiler and Python's headers (apt install g++ python3-dev)"
)


def _prepare_compiler() -> None:
    # Gradients are taken inside of the function, which the compiler follows only if told so.
    torch._dynamo.config.trace_autograd_ops = True
    # Not in /tmp, torch's choice: what is compiled there is gone with the next start.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sac_ros"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:  # no home that can be written to
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "torchinductor"))


def _transfer(reported: Tensor) -> list[float]:
    # One transfer: on a GPU every .item() waits for the device.
    values: list[float] = reported.tolist()
    return values
