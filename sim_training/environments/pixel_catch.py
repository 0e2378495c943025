"""PixelCatch, a small game with image observations that can be learned on two processor cores.

Registered as `sim_training.environments.pixel_catch:PixelCatch-v0` when this file is imported. It
is based on bsuite's Catch; the image has the size of Atari's preprocessing.
"""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

NUM_CELLS = 6
CELL_PIXELS = 14
BALLS_PER_EPISODE = 5
LEFT, STAY, RIGHT = range(3)


class PixelCatch(gym.Env[NDArray[np.uint8], np.int64]):
    """Catch five balls, falling one cell per step, with a bat that moves left, stays or right.

    A caught ball gives reward 1, a missed one -1, so the return is in [-5, 5]. Five balls take 25
    steps. The observation is the image [84, 84] of ball and bat.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 15}
        self.render_mode = render_mode
        size = NUM_CELLS * CELL_PIXELS
        self.observation_space = Box(0, 255, (size, size), np.uint8)
        self.action_space = Discrete(3)
        self._bat = self._ball_column = self._ball_row = self._num_fallen = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, object]]:
        """Place the bat at random and drop the first ball."""
        super().reset(seed=seed)
        self._bat = int(self.np_random.integers(NUM_CELLS))
        self._num_fallen = 0
        self._drop_ball()
        return self._image(), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, object]]:
        """Move the bat and let the ball fall one cell; the fifth ball ends the episode."""
        move = int(action) - STAY
        self._bat = min(max(self._bat + move, 0), NUM_CELLS - 1)
        self._ball_row += 1
        reward = 0.0
        if self._ball_row == NUM_CELLS - 1:
            reward = 1.0 if self._ball_column == self._bat else -1.0
            self._num_fallen += 1
            self._drop_ball()
        return self._image(), reward, self._num_fallen == BALLS_PER_EPISODE, False, {}

    def render(self) -> NDArray[np.uint8]:
        """Return the image [84, 84, 3] in grey."""
        return np.repeat(self._image()[..., None], 3, axis=2)

    def _drop_ball(self) -> None:
        self._ball_row, self._ball_column = 0, int(self.np_random.integers(NUM_CELLS))

    def _image(self) -> NDArray[np.uint8]:
        cells = np.zeros((NUM_CELLS, NUM_CELLS), dtype=np.uint8)
        cells[NUM_CELLS - 1, self._bat] = 128
        cells[self._ball_row, self._ball_column] = 255
        return cells.repeat(CELL_PIXELS, axis=0).repeat(CELL_PIXELS, axis=1)


gym.register("PixelCatch-v0", "sim_training.environments.pixel_catch:PixelCatch")
