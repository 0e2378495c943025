"""The actor and the critics of SAC with discrete actions.

Weights use He initialisation (He et al., 2015) and biases are 0, as in CleanRL's sac_atari.py.
Shapes: B batch, O obs_dim, A action_dim, N critics, K choices.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sac_ros.sac.networks.nature_cnn import NatureCNN
from sac_ros.sac.networks.networks import apply_with_float32_output

Encoder = Literal["mlp", "nature_cnn"]


def _layers(
    encoder: Encoder, obs_dim: int, hidden_sizes: Sequence[int], outputs: int
) -> nn.Sequential:
    """Return a network obs [B, O] -> [B, outputs] with ReLU hidden layers."""
    front = [NatureCNN(obs_dim)] if encoder == "nature_cnn" else []
    width = front[0].width if front else obs_dim
    hidden: list[nn.Module] = []
    for fan_in, fan_out in pairwise((width, *hidden_sizes)):
        hidden += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    layers = nn.Sequential(*front, *hidden, nn.Linear(hidden_sizes[-1], outputs))
    for module in layers.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return layers


class CategoricalActor(nn.Module):
    """A categorical policy over the K choices of a task, each an action in [-1, 1]."""

    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    choices: Tensor
    """The actions [K, A]; saved with the weights, because they give the logits their meaning."""

    def __init__(
        self,
        encoder: Encoder,
        obs_dim: int,
        hidden_sizes: tuple[int, ...],
        choices: tuple[tuple[float, ...], ...],
    ) -> None:
        super().__init__()
        self.obs_dim = obs_dim
        self.action_dim = len(choices[0])
        self.architecture = (encoder, obs_dim, hidden_sizes, choices)
        self.layers = _layers(encoder, obs_dim, hidden_sizes, len(choices))
        self.register_buffer("choices", torch.tensor(choices, dtype=torch.float32))

    def forward(self, obs: Tensor) -> Tensor:
        """Return the logits [B, K] of the choices."""
        return apply_with_float32_output(self.layers, obs)

    def log_probabilities(self, obs: Tensor) -> Tensor:
        """Return log pi [B, K] of every choice."""
        return torch.log_softmax(self(obs), dim=-1)

    def mode(self, obs: Tensor) -> Tensor:
        """Return the deterministic action [B, A] in [-1, 1]: the most likely choice."""
        return self.choices[self(obs).argmax(dim=-1)]

    def sample(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Sample a choice; return its action [B, A] in [-1, 1]."""
        action, _ = self.sample_with_logp(obs, generator)
        return action

    def sample_with_logp(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample a choice; return its action [B, A] in [-1, 1] and its log pi [B]."""
        logp = self.log_probabilities(obs)
        drawn = torch.multinomial(logp.exp(), num_samples=1, generator=generator)
        return self.choices[drawn.squeeze(-1)], logp.gather(-1, drawn).squeeze(-1)

    def choice_indices(self, action: Tensor) -> Tensor:
        """Return the index [B] of the choice nearest to each action [B, A].

        The safety filter may have executed an action between two choices.
        """
        distance = (action[:, None, :] - self.choices).square().sum(dim=-1)
        return distance.argmin(dim=-1)


class DiscreteCritics(nn.Module):
    """N independent Q networks: one Q value per choice for each observation."""

    def __init__(
        self,
        encoder: Encoder,
        obs_dim: int,
        hidden_sizes: Sequence[int],
        num_choices: int,
        num_critics: int,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            _layers(encoder, obs_dim, hidden_sizes, num_choices) for _ in range(num_critics)
        )

    def forward(self, obs: Tensor) -> Tensor:
        """Return each critic's Q values [N, B, K] of obs [B, O]."""
        values = []
        for member in self.members:
            assert isinstance(member, nn.Sequential)
            values.append(apply_with_float32_output(member, obs))
        return torch.stack(values)

    def q_of_choice(self, obs: Tensor, choice: Tensor) -> Tensor:
        """Return each critic's Q value [N, B] at obs [B, O] and choice index [B]."""
        q_of_all: Tensor = self(obs)
        return q_of_all.gather(-1, choice.expand(len(q_of_all), -1)[..., None]).squeeze(-1)
