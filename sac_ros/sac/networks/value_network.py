"""The state-value network of SAC v1. Shapes: B batch, O obs_dim."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from sac_ros.sac.networks.networks import apply_with_float32_output


class ValueNetwork(nn.Module):
    """A network for the soft state value V(obs)."""

    def __init__(self, obs_dim: int, hidden_sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((obs_dim, *hidden_sizes)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden_sizes[-1], 1))

    def forward(self, obs: Tensor) -> Tensor:
        """Return the value [B] of obs [B, O]."""
        return apply_with_float32_output(self.layers, obs).squeeze(-1)
