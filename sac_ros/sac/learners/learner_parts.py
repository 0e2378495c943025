"""The parts of a learner: saving and restoring them, and functions that all SAC learners share."""

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
    """Modules, optimisers, generators and parameters of a learner, by checkpoint name."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Adam]
    generators: Mapping[str, torch.Generator]
    parameters: Mapping[str, nn.Parameter] = field(default_factory=dict)
    """Parameters outside any module, such as log_alpha."""

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of all state tensors, on the CPU."""
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
        """Restore the state that `tensors` returned; learning rates stay those of the config."""
        for part, module in self.modules.items():
            module.load_state_dict(tensors_of_part(part, tensors))
        for part, optimizer in self.optimizers.items():
            optimizer.restore(tensors_of_part(part, tensors))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[name])
        for name, generator in self.generators.items():
            generator.set_state(tensors[name])


def independent_seeds(seed: int, count: int) -> list[int]:
    """Return the seeds of `count` statistically independent random generators."""
    words = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    return [int(word) for word in words]


def initial_log_alpha(initial_alpha: float, fixed_alpha: float | None) -> float:
    """Return log alpha at the first update; `fixed_alpha`, if given, replaces the initial value."""
    alpha = initial_alpha if fixed_alpha is None else fixed_alpha
    # A fixed temperature of 0 means no entropy term: log alpha is -inf, and its exp is 0 again.
    return math.log(alpha) if alpha > 0.0 else -math.inf


def make_target(module: ModuleT) -> ModuleT:
    """Return a target network: a copy without gradients, moved by `polyak_update`."""
    target = copy.deepcopy(module)
    target.requires_grad_(False)
    return target


def polyak_update(target: nn.Module, module: nn.Module, tau: float) -> None:
    """Update each target parameter in place: target = (1 - tau) * target + tau * parameter."""
    with torch.no_grad():
        for target_parameter, parameter in zip(
            target.parameters(), module.parameters(), strict=True
        ):
            target_parameter.lerp_(parameter, tau)


def tensors_of_part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the saved tensors of one part, without the part's prefix in their names."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
