"""A replay buffer for stacked images that stores each image once, as bytes.

An observation is a stack of S images; the next observation repeats S - 1 of them. A plain buffer
would store every image 2 S times, with four bytes per pixel: 8 S times as much memory.

Shapes: n transitions added at once, B batch, S images in a stack, P pixels of an image, O = S P,
A action_dim, F images kept.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from sac_ros.errors import InputError
from sac_ros.sac.replay.replay_buffer import Batch, NonFiniteTransitionError, refuse_if_too_large

_FRAMES, _FRAME_IDS, _STACKS, _ROWS = "frames", "frame_ids", "stacks", "rows"


class NoPixelsError(InputError):
    """An observation has values other than whole numbers from 0 to 255."""


class FrameReplayBuffer:
    """A ring buffer of transitions over a ring buffer of images, sampled with replacement.

    Each image has an id, counted from 0; a transition stores the ids of its two stacks. Images
    repeated from the environment's last observation are found by comparison, so the buffer makes no
    assumption about how stacks are built or where episodes begin.
    """

    def __init__(
        self,
        capacity: int,
        num_images: int,
        num_pixels: int,
        action_dim: int,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.capacity = capacity
        self.obs_dim = num_images * num_pixels
        self.action_dim = action_dim
        self.num_added = 0
        """Transitions ever added; transition i lies in row i modulo capacity."""
        self._num_pixels = num_pixels
        # Every step adds one image; the start of an episode adds a few more.
        self._max_frames = capacity + capacity // 4 + 16 * num_images
        row_width = action_dim + 3
        refuse_if_too_large(
            capacity, num_pixels * self._max_frames // capacity + 16 * num_images + 4 * row_width
        )
        self._device = torch.device(device)
        self._rng = np.random.default_rng(seed)
        self._frames = np.empty((self._max_frames, num_pixels), dtype=np.uint8)
        self._stacks = np.empty((capacity, 2, num_images), dtype=np.int64)
        self._rows = np.empty((capacity, row_width), dtype=np.float32)
        self._num_frames = 0
        self._first_whole = 0
        """Oldest transition whose images are all still stored."""

    def __len__(self) -> int:
        return self.num_added - self.first_kept

    @property
    def first_kept(self) -> int:
        """Index of the oldest stored transition, counted over all transitions ever added."""
        return max(self._first_whole, self.num_added - self.capacity)

    @property
    def row_bytes(self) -> int:
        """Approximate size of one transition in bytes."""
        return self._num_pixels + int(self._stacks[0].nbytes) + int(self._rows[0].nbytes)

    @property
    def rng_state(self) -> Mapping[str, object]:
        """State of the sampling generator, serialisable as JSON."""
        return self._rng.bit_generator.state

    def add(
        self,
        obs: npt.ArrayLike,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        next_obs: npt.ArrayLike,
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike,
    ) -> None:
        """Append n transitions: [n, O], [n, A], [n], [n, O], [n], [n]; the oldest are replaced.

        One transition per environment, always in the same order. `next_obs` is the observation
        that the step led to, also where an episode ended.
        """
        num_new = len(np.asarray(reward))
        rows = np.column_stack(
            (np.reshape(action, (num_new, -1)), reward, terminated, truncated)
        ).astype(np.float32)
        if not np.isfinite(rows).all():
            raise NonFiniteTransitionError(
                f"transition {self.num_added}: action or reward not finite; learning from it would"
                " make the weights NaN: check the environment for divergence"
            )
        before, after = self._images(obs, num_new), self._images(next_obs, num_new)
        # Read before anything is written: the new rows may overwrite those of the last step.
        known = [self._last_stack(index, num_new) for index in range(num_new)]
        for index in range(num_new):
            place = self.num_added % self.capacity
            stack = self._number_obs(before[index], known[index])
            self._stacks[place] = stack, self._number_next(after[index], stack)
            self._rows[place] = rows[index]
            self.num_added += 1
        self._drop_incomplete(num_new)

    def sample(self, batch_size: int) -> Batch:
        """Sample a batch with observations as bytes; the tensors are copies."""
        places = self._rng.integers(self.first_kept, self.num_added, batch_size) % self.capacity
        images = self._frames[self._stacks[places] % self._max_frames]  # [B, 2, S, P]
        pixels = torch.from_numpy(images.reshape(batch_size, 2, -1)).to(self._device)
        rows = torch.from_numpy(self._rows[places]).to(self._device)
        return Batch(
            obs=pixels[:, 0],
            action=rows[:, : self.action_dim],
            reward=rows[:, self.action_dim],
            next_obs=pixels[:, 1],
            terminated=rows[:, self.action_dim + 1] != 0.0,
        )

    def obs_at(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the observations [k, O] of k transitions, by index over all ever added."""
        images = self._frames[self._stacks[indices % self.capacity, 0] % self._max_frames]
        obs: npt.NDArray[np.float32] = images.reshape(len(indices), -1).astype(np.float32)
        return obs

    def chunk(self, start: int, stop: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Return transitions from start up to stop with all their images, for a checkpoint."""
        if not self.first_kept <= start <= stop <= self.num_added:
            raise ValueError(
                f"transitions {start} to {stop} asked for, the buffer holds {self.first_kept} to"
                f" {self.num_added}"
            )
        places = np.arange(start, stop) % self.capacity
        frame_ids = np.unique(self._stacks[places])
        return {
            _FRAMES: self._frames[frame_ids % self._max_frames],
            _FRAME_IDS: frame_ids,
            _STACKS: self._stacks[places],
            _ROWS: self._rows[places],
        }

    def restore_chunks(
        self,
        first_kept: int,
        chunks: Iterable[tuple[int, Mapping[str, npt.NDArray[np.generic]]]],
        rng_state: Mapping[str, object],
    ) -> None:
        """Restore the buffer from chunks, each with the index of its first transition.

        `first_kept` is the oldest transition to keep; the first chunk may begin before it.
        """
        self.num_added = self._first_whole = first_kept
        for start, chunk in chunks:
            # In ascending order: if two images share a slot, the newer one must remain.
            frame_ids = chunk[_FRAME_IDS]
            self._frames[frame_ids % self._max_frames] = chunk[_FRAMES]
            self._num_frames = max(self._num_frames, int(frame_ids.max()) + 1)
            num_dropped = max(0, first_kept - start)
            stacks, rows = chunk[_STACKS][num_dropped:], chunk[_ROWS][num_dropped:]
            places = np.arange(self.num_added, self.num_added + len(rows)) % self.capacity
            self._stacks[places], self._rows[places] = stacks, rows
            self.num_added += len(rows)
        self._rng.bit_generator.state = dict(rng_state)

    def _images(self, obs: npt.ArrayLike, num_new: int) -> npt.NDArray[np.uint8]:
        """Return the images [n, S, P] of observations [n, O]."""
        given = np.reshape(obs, (num_new, -1, self._num_pixels))
        with np.errstate(invalid="ignore"):  # a NaN becomes an arbitrary byte; detected below
            pixels = given.astype(np.uint8)
        if not np.array_equal(pixels, given):
            raise NoPixelsError(
                f"transition {self.num_added}: an observation has values other than 0, 1 ... 255;"
                " this replay buffer is for images: use encoder mlp for other observations"
            )
        return pixels

    def _last_stack(self, index: int, num_new: int) -> npt.NDArray[np.int64] | None:
        """Return the image ids of environment `index`'s last observation; None if not stored."""
        last = self.num_added - num_new + index
        return self._stacks[last % self.capacity, 1].copy() if last >= self.first_kept else None

    def _number_obs(
        self, images: npt.NDArray[np.uint8], last_seen: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64]:
        """Return the ids [S] of the images of an observation, storing new images."""
        numbers = np.empty(len(images), dtype=np.int64)
        for position, image in enumerate(images):
            if last_seen is not None and self._is(last_seen[position], image):
                numbers[position] = last_seen[position]
            # The first observation of an episode may repeat one image S times.
            elif position and self._is(numbers[position - 1], image):
                numbers[position] = numbers[position - 1]
            else:
                numbers[position] = self._store(image)
        return numbers

    def _number_next(
        self, images: npt.NDArray[np.uint8], stack: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Return the ids [S] of the images of the observation that follows `stack` [S]."""
        numbers = np.empty_like(stack)
        for position, (number, image) in enumerate(zip(stack[1:], images[:-1], strict=True)):
            numbers[position] = number if self._is(number, image) else self._store(image)
        # Always stored, even if equal: no transition may depend on a much older image.
        numbers[-1] = self._store(images[-1])
        return numbers

    def _is(self, number: int, image: npt.NDArray[np.uint8]) -> bool:
        if number < self._num_frames - self._max_frames:
            return False
        return np.array_equal(self._frames[number % self._max_frames], image)

    def _store(self, image: npt.NDArray[np.uint8]) -> int:
        self._frames[self._num_frames % self._max_frames] = image
        self._num_frames += 1
        return self._num_frames - 1

    def _drop_incomplete(self, num_envs: int) -> None:
        """Drop the oldest transitions, up to the last one with an overwritten image.

        Transitions do not lose their images in order: one environment may have started an episode
        with new images, while another still uses images that are S steps old.
        """
        oldest_frame = self._num_frames - self._max_frames
        # No image is older than S steps of its environment: all incomplete ones are within reach.
        reach = num_envs * (self._stacks.shape[-1] + 1)
        first = self.first_kept
        while True:
            window = np.arange(first, min(first + reach, self.num_added)) % self.capacity
            incomplete = np.flatnonzero(self._stacks[window].min(axis=(1, 2)) < oldest_frame)
            if len(incomplete) == 0:
                break
            first += int(incomplete[-1]) + 1
        self._first_whole = first
