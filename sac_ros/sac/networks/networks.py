"""The actor and the critics of SAC.

Shapes: B batch, O obs_dim, A action_dim, N critics.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch users know
from torch import Tensor, nn

# The bounds of the paper's own code, so that returns can be compared with published ones. CleanRL
# maps a tanh onto [-5, 2] instead: its standard deviation starts near 0.22. Here it starts near 1,
# which explores more.
LOG_STD_MIN = -20.0
LOG_STD_MAX = 2.0


class SquashedGaussianActor(nn.Module):
    """A Gaussian policy squashed into [-1, 1] by tanh (appendix C of arXiv 1812.05905)."""

    outputs: ClassVar[tuple[str, ...]] = ("mean", "log_std")

    def __init__(self, obs_dim: int, action_dim: int, hidden_sizes: Sequence[int]) -> None:
        super().__init__()
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.hidden_sizes = tuple(hidden_sizes)
        self.architecture = (obs_dim, action_dim, self.hidden_sizes)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((obs_dim, *hidden_sizes)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(hidden_sizes[-1], 2 * action_dim)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation [B, A] of the Gaussian before squashing."""
        x = self.trunk(obs)
        with full_precision(x):
            mean, log_std = self.head(x.to(self.head.weight.dtype)).chunk(2, dim=-1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def mode(self, obs: Tensor) -> Tensor:
        """Return the deterministic action [B, A] in [-1, 1]: the squashed mean."""
        mean, _ = self(obs)
        return torch.tanh(mean)

    def sample(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample an action [B, A] in [-1, 1]; return it with its log-probability [B]."""
        mean, log_std = self(obs)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return squash(mean, log_std, noise)

    def reparameterize(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Map standard normal noise [B, A] to an action [B, A] (eq. 8) and its log-prob [B]."""
        mean, log_std = self(obs)
        return squash(mean, log_std, noise)


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh(mean + std * noise) [B, A] and its log-probability [B], appendix C."""
    u = mean + log_std.exp() * noise
    # Computed from the noise: (u - mean) / std loses all precision when std is small.
    logp_u = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
    # Equal to log(1 - tanh(u)^2) of appendix C, which is log(0) in float32 from about |u| = 9.
    log_det = 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))
    return torch.tanh(u), (logp_u - log_det).sum(dim=-1)


class CriticEnsemble(nn.Module):
    """N independent Q networks, evaluated in one batched matrix product.

    The weights of the N critics are stacked, [N, inputs, outputs], because one batched product is
    faster than N products. With `layer_norm`, each hidden layer is normalised before its ReLU
    (RLPD, arXiv 2302.02948, section 4.2). This bounds the Q values of actions outside the data,
    also after many updates per step.
    """

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        hidden_sizes: Sequence[int],
        num_critics: int,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise((obs_dim + action_dim, *hidden_sizes, 1)):
            # The same initialisation as nn.Linear, for each critic. Written out because torch's
            # initialisers treat a 3-D weight as a convolution and count its inputs wrongly.
            bound = 1.0 / math.sqrt(inputs)
            weight = torch.empty(num_critics, inputs, outputs).uniform_(-bound, bound)
            bias = torch.empty(num_critics, 1, outputs).uniform_(-bound, bound)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))
        norms = [LayerNorms(num_critics, width) for width in hidden_sizes if layer_norm]
        self.norms = nn.ModuleList(norms or [nn.Identity() for _ in hidden_sizes])

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return each critic's Q value [N, B] of obs [B, O] and action [B, A]."""
        *hidden, (weight, bias) = zip(self.weights, self.biases, strict=True)
        x = torch.cat((obs, action), dim=-1).expand(len(weight), -1, -1)  # [N, B, O + A]
        for (hidden_weight, hidden_bias), norm in zip(hidden, self.norms, strict=True):
            x = F.relu(norm(torch.bmm(x, hidden_weight) + hidden_bias))
        with full_precision(x):
            # With one output, the product is a weighted sum; the compiler fuses it with the rest.
            products = x.to(weight.dtype) * weight.transpose(1, 2)  # [N, B, width]
            q: Tensor = products.sum(dim=-1) + bias.squeeze(-1)
        return q


class LayerNorms(nn.Module):
    """Layer normalisation (arXiv 1607.06450) of N stacked layers, with learned scale and shift."""

    def __init__(self, num_layers: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_layers, 1, width))
        self.shift = nn.Parameter(torch.zeros(num_layers, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x [N, B, width] with mean 0 and variance 1 over each row, scaled and shifted."""
        normal = F.layer_norm(x, x.shape[-1:])
        return normal * self.scale + self.shift


def full_precision(x: Tensor) -> torch.autocast:
    """Return a context that disables autocast, for the output layer.

    bfloat16 has 8 significant bits. In a hidden layer the rounding errors average out; in a Q
    value they would hide the difference between two actions.
    """
    return torch.autocast(x.device.type, enabled=False)


def apply_with_float32_output(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply all layers; the last one, a linear layer, always runs in full precision."""
    x = layers[:-1](x)
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    with full_precision(x):
        y: Tensor = last(x.to(last.weight.dtype))
    return y
