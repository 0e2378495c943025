"""The convolutional encoder of Mnih et al. (Nature 518, 2015) for a stack of images.

Shapes: B batch, C images in the stack, O = C * 84 * 84.
"""

from typing import Final

import torch
from torch import Tensor, nn

from sac_ros.errors import InputError

IMAGE_SIZE: Final = 84
"""Height and width in pixels; the layer sizes below require it."""


class ImageShapeError(InputError):
    """The observation is not a stack of images of the expected size."""


class NatureCNN(nn.Module):
    """Map flat pixels [B, O], from 0 to 255, to features [B, 3136]."""

    def __init__(self, obs_dim: int) -> None:
        super().__init__()
        num_images, rest = divmod(obs_dim, IMAGE_SIZE**2)
        if rest or num_images < 1:
            raise ImageShapeError(
                f"the observation has {obs_dim} entries, which is not a multiple of {IMAGE_SIZE} x"
                f" {IMAGE_SIZE} pixels; use encoder mlp, or an environment with images of this size"
            )
        self._num_images = num_images
        self.convolutions = nn.Sequential(
            nn.Conv2d(num_images, 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.width: Final = 64 * 7 * 7

    def forward(self, obs: Tensor) -> Tensor:
        """Return features [B, 3136] of pixels [B, O] of any numeric dtype."""
        pixels = obs.to(torch.float32) / 255.0
        features: Tensor = self.convolutions(
            pixels.reshape(-1, self._num_images, IMAGE_SIZE, IMAGE_SIZE)
        )
        return features
