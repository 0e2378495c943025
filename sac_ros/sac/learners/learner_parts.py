"""What a learner is made of, so that it is saved, restored and stepped in one way."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sac_ros.sac.compute.adam import Adam

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class LearnerParts:
    """Everything that the next update depends on, by the name it is saved under."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Adam]
    generators: Mapping[str, torch.Generator]
    parameters: Mapping[str, nn.Parameter] = field(default_factory=dict)
    """Those that belong to no module, such as a temperature."""

    def tensors(self) -> dict[str, Tensor]:
        """Return copies, on the CPU."""
        tensors = {
            f"{part}.{name}": tensor
            for part, module in self.modules.items()
            for name, tensor in module.state_dict().items()
        }
        for part, optimizer in self.optimizers.items():
            for name, tensor in optimizer.tensors().items():
                tensors[f"{part}.{name}"] = tensor
        tensors |= self.parameters
        tensors |= {name: generator.get_state() for name, generator in self.generators.items()}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Become what `tensors` were copied from; learning rates stay those of the config."""
        for part, module in self.modules.items():
            module.load_state_dict(tensors_below(part, tensors))
        for part, optimizer in self.optimizers.items():
            optimizer.restore(tensors_below(part, tensors))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[name])
        for name, generator in self.generators.items():
            generator.set_state(tensors[name])


def random_streams(seed: int, count: int) -> list[int]:
    """Return the seeds of `count` streams, none of which draws what another one has drawn."""
    words = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    return [int(word) for word in words]


def log_temperature(initial_alpha: float, fixed_alpha: float | None) -> float:
    """Return log alpha to begin with, or to stay at."""
    alpha = initial_alpha if fixed_alpha is None else fixed_alpha
    # A fixed temperature of 0 is plain, entropy-free learning: its logarithm is -inf, exp 0.
    return math.log(alpha) if alpha > 0.0 else -math.inf


def target_of(module: ModuleT) -> ModuleT:
    """Return the copy that will follow a network slowly and never learns itself."""
    target = copy.deepcopy(module)
    target.requires_grad_(False)
    return target


def move_target(target: nn.Module, module: nn.Module, tau: float) -> None:
    """Move every parameter of the target by the share `tau` towards the network's."""
    with torch.no_grad():
        for mine, theirs in zip(target.parameters(), module.parameters(), strict=True):
            mine.lerp_(theirs, tau)


def tensors_below(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what was saved of one part, by the names that it has for itself."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
