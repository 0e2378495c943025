"""The Adam optimiser, written so that a learner's whole update compiles into one function.

Shapes: P parameters of one optimiser.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

BETA1: Final = 0.9
BETA2: Final = 0.999


class Adam:
    """Algorithm 1 of arXiv 1412.6980, with the same results as `torch.optim.Adam`.

    `torch.optim.Adam` cannot be part of a compiled update, because its `step` breaks the graph. In
    one compiled function, moments, parameters and target network are read and written in one pass.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, epsilon: float = 1e-8
    ) -> None:
        self.parameters = tuple(parameters)
        self.learning_rate = learning_rate
        """Step size; it may be changed between two steps."""
        self.num_steps = 0
        self._epsilon = epsilon
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._mean_squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        device = self.parameters[0].device
        self._step_size = torch.zeros((), device=device)
        self._rms_scale = torch.zeros((), device=device)

    @property
    def working_tensors(self) -> list[Tensor]:
        """The tensors, besides the parameters, that a step uses; their addresses never change."""
        return [*self._means, *self._mean_squares, self._step_size, self._rms_scale]

    def begin_step(self) -> None:
        """Count the next step and compute its bias corrections; call it before `descend`.

        Outside the compiled update: inside, the two powers would be computed again for every
        sixteen parameters, which costs more than the rest of Adam.
        """
        self.num_steps += 1
        self._step_size.fill_(self.learning_rate / (1.0 - BETA1**self.num_steps))
        self._rms_scale.fill_(1.0 / math.sqrt(1.0 - BETA2**self.num_steps))

    def descend(self, loss: Tensor) -> None:
        """Take a step on this optimiser's parameters; other tensors get no gradient."""
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            self._step(gradients)

    def _step(self, gradients: Sequence[Tensor]) -> None:
        for parameter, gradient, mean, mean_square in zip(
            self.parameters, gradients, self._means, self._mean_squares, strict=True
        ):
            mean.lerp_(gradient, 1.0 - BETA1)
            mean_square.lerp_(gradient.square(), 1.0 - BETA2)
            rms = mean_square.sqrt() * self._rms_scale
            parameter.sub_(self._step_size * mean / (rms + self._epsilon))

    def tensors(self) -> dict[str, Tensor]:
        """Return moments and step count, by their names in a checkpoint."""
        tensors = {"step": torch.tensor(self.num_steps)}
        for index, (mean, mean_square) in enumerate(
            zip(self._means, self._mean_squares, strict=True)
        ):
            tensors[f"{index}.exp_avg"] = mean
            tensors[f"{index}.exp_avg_sq"] = mean_square
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned; the learning rate is not part of it."""
        self.num_steps = int(tensors["step"])
        for name, tensor in self.tensors().items():
            if name != "step":
                tensor.copy_(tensors[name])
