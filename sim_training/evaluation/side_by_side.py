"""One film of several policies, each in its own task, in the same time.

Shapes: H height and W width in pixels.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.evaluation.film_file import FilmFile
from sim_training.evaluation.policy_evaluation import make_filmed_env
from sim_training.evaluation.video import render

FRAMES_HZ = 25.0
TEXT_COLOUR = (60, 66, 74)


class _FilmedPolicy:
    """One policy in its environment, stepped to where the film is."""

    def __init__(self, policy: OnnxPolicy, seed: int) -> None:
        self.env = make_filmed_env(policy.task)
        self._policy = policy
        self._obs, _ = self.env.reset(seed=seed)
        self._num_steps = 0
        self._has_ended = False
        self._return = 0.0

    def advance_to(self, time_s: float) -> None:
        """Take every control step that is due by `time_s`; stand still once the episode ended."""
        period_s = self._policy.task.control_period_s
        while not self._has_ended and (self._num_steps + 1) * period_s <= time_s + 1e-9:
            action = self._policy.mode(self._obs).astype(np.float32)
            self._obs, reward, terminated, truncated, _ = self.env.step(action)
            self._return += float(reward)
            self._has_ended = terminated or truncated
            self._num_steps += 1

    def panel(self, size: int) -> NDArray[np.uint8]:
        """Return a square picture [size, size, 3] with the task's name and the return so far."""
        image = Image.fromarray(render(self.env))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize((size, size))
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=size // 20)
        margin = size // 20
        draw.text((margin, margin), self._policy.task.name, TEXT_COLOUR, font)
        text = f"return {self._return:,.0f}"
        draw.text((size - margin, margin), text, TEXT_COLOUR, font, anchor="ra")
        return np.asarray(image)


def film_side_by_side(
    policies: Sequence[OnnxPolicy], path: Path, *, duration_s: float, seed: int, size: int
) -> None:
    """Film the policies from the same moment on, in square panels of `size` pixels."""
    with contextlib.ExitStack() as stack:
        film = stack.enter_context(FilmFile(path, FRAMES_HZ))
        filmed = [_FilmedPolicy(policy, seed) for policy in policies]
        for one in filmed:
            stack.callback(one.env.close)

        def draw() -> NDArray[np.uint8]:
            return np.concatenate([one.panel(size) for one in filmed], axis=1)

        for index in range(round(duration_s * FRAMES_HZ)):
            for one in filmed:
                one.advance_to(index / FRAMES_HZ)
            film.add(draw)
