"""The actor and the critics of SAC with discrete actions.

Weights are drawn as He et al. (2015) propose, biases are 0, as in CleanRL's sac_atari.py.
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
    """Return obs [B, O] -> [B, outputs] through hidden layers with ReLU."""
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
    """A policy over K commands that the task names, each an action in [-1, 1]."""

    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    choices: Tensor
    """The actions [K, A]; saved with the weights, because they are what the logits mean."""

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
        """Return the action [B, A], in [-1, 1], that evaluation takes: the most likely choice."""
        return self.choices[self(obs).argmax(dim=-1)]

    def sample(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a choice; return its action [B, A] in [-1, 1]."""
        action, _ = self.sample_with_logp(obs, generator)
        return action

    def sample_with_logp(self, obs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a choice; return its action [B, A] in [-1, 1], and log pi [B] of it."""
        logp = self.log_probabilities(obs)
        drawn = torch.multinomial(logp.exp(), num_samples=1, generator=generator)
        return self.choices[drawn.squeeze(-1)], logp.gather(-1, drawn).squeeze(-1)

    def choice_indices(self, action: Tensor) -> Tensor:
        """Return the number [B] of the choice that each action [B, A] is, or comes closest to.

        A safety filter may have executed something between two choices.
        """
        distance = (action[:, None, :] - self.choices).square().sum(dim=-1)
        return distance.argmin(dim=-1)


class DiscreteCritics(nn.Module):
    """N independent Q functions of an observation, with a value for every choice."""

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
        """Return each critic's Q value [N, B] of obs [B, O] and the choice of that number [B]."""
        q_of_all: Tensor = self(obs)
        return q_of_all.gather(-1, choice.expand(len(q_of_all), -1)[..., None]).squeeze(-1)
