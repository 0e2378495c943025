"""Stacked images come out of the buffer as they went in, and none is kept twice."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sac_ros.sac.replay.frame_replay_buffer import FrameReplayBuffer, NoPixelsError
from sac_ros.sac.replay.replay_buffer import NonFiniteTransitionError

NUM_IMAGES, NUM_PIXELS = 4, 6


class Film:
    """Shows images that tell environment, episode and step, stacked; episodes last 5 steps."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._episode = -1
        self._begin()

    def _begin(self) -> None:
        self._episode += 1
        self._step = 0
        self._images = [self._image()] * NUM_IMAGES

    def _image(self) -> NDArray[np.uint8]:
        return np.array([self._number, self._episode % 251, self._step, 7, 0, 255], np.uint8)

    def act(self) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
        """Return obs, next_obs and whether the episode ended."""
        obs = np.concatenate(self._images)
        self._step += 1
        self._images = [*self._images[1:], self._image()]
        next_obs, ended = np.concatenate(self._images), self._step == 5
        if ended:
            self._begin()
        return obs.astype(np.float32), next_obs.astype(np.float32), ended


def transitions(num_envs: int) -> Iterator[tuple[NDArray, NDArray, NDArray, NDArray]]:
    """Yield obs [n, O], next_obs [n, O], terminated [n] and a number [n] for each transition."""
    films = [Film(number) for number in range(num_envs)]
    count = 0
    while True:
        obs, next_obs, ended = map(np.array, zip(*(film.act() for film in films), strict=True))
        yield obs, next_obs, ended, np.arange(count, count + num_envs)
        count += num_envs


def filled(
    num_steps: int, num_envs: int = 1, capacity: int = 1000
) -> tuple[FrameReplayBuffer, dict[float, tuple[NDArray, NDArray, bool]]]:
    """Return a buffer, and what transition each reward belongs to."""
    buffer = FrameReplayBuffer(capacity, NUM_IMAGES, NUM_PIXELS, action_dim=2, seed=0)
    truth = {}
    for _, (obs, next_obs, ended, number) in zip(
        range(num_steps), transitions(num_envs), strict=False
    ):
        action = np.stack((number, -number), axis=1)
        buffer.add(obs, action, number, next_obs, ended, np.zeros_like(ended))
        for row in range(num_envs):
            truth[float(number[row])] = (obs[row], next_obs[row], bool(ended[row]))
    return buffer, truth


def assert_true(buffer: FrameReplayBuffer, truth: dict) -> set[float]:
    """Compare a large sample with what was added; return the rewards that were drawn."""
    batch = buffer.sample(2000)
    assert batch.obs.dtype == torch.uint8
    for row, reward in enumerate(batch.reward.tolist()):
        obs, next_obs, ended = truth[reward]
        np.testing.assert_array_equal(batch.obs[row].numpy(), obs)
        np.testing.assert_array_equal(batch.next_obs[row].numpy(), next_obs)
        assert batch.terminated[row].item() == ended
        assert batch.action[row].tolist() == [reward, -reward]
    return set(batch.reward.tolist())


@pytest.mark.parametrize("num_envs", [1, 3])
def test_transitions_come_out_as_they_went_in(num_envs: int) -> None:
    buffer, truth = filled(num_steps=40, num_envs=num_envs)

    assert assert_true(buffer, truth) == set(truth)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_an_image_is_kept_once(num_envs: int) -> None:
    """One a step, and one at the begin of each episode of five."""
    buffer, _ = filled(num_steps=50, num_envs=num_envs)

    assert buffer._num_frames == num_envs * (50 + 10)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_full_buffer_holds_the_newest(num_envs: int) -> None:
    buffer, truth = filled(num_steps=700, num_envs=num_envs, capacity=100)

    drawn = assert_true(buffer, truth)

    newest = max(truth)
    assert drawn == {newest - index for index in range(len(buffer))}
    assert len(buffer) == 100


def test_transition_whose_images_had_to_make_room_is_given_up() -> None:
    """Episodes of one step bring more images than the buffer has reckoned with."""
    buffer = FrameReplayBuffer(100, NUM_IMAGES, NUM_PIXELS, action_dim=1, seed=0)
    rng = np.random.default_rng(0)
    truth = {}
    for number in range(300):
        obs, next_obs = rng.integers(0, 256, (2, 1, NUM_IMAGES * NUM_PIXELS))
        buffer.add(obs, [[0.0]], [number], next_obs, [True], [False])
        truth[float(number)] = (obs[0], next_obs[0])

    batch = buffer.sample(500)

    assert 20 <= len(buffer) < 100
    for row, reward in enumerate(batch.reward.tolist()):
        np.testing.assert_array_equal(batch.obs[row].numpy(), truth[reward][0])
        np.testing.assert_array_equal(batch.next_obs[row].numpy(), truth[reward][1])


def test_picture_that_stands_still_for_long_is_not_lost() -> None:
    buffer = FrameReplayBuffer(50, NUM_IMAGES, NUM_PIXELS, action_dim=1, seed=0)
    still = np.full((1, NUM_IMAGES * NUM_PIXELS), 9.0)
    for _ in range(400):
        buffer.add(still, [[0.0]], [0.0], still, [False], [False])

    assert len(buffer) == 50
    assert (buffer.sample(100).next_obs == 9).all()


@pytest.mark.parametrize("capacity", [1000, 60])
def test_restored_buffer_draws_and_goes_on_as_the_saved_one(capacity: int) -> None:
    buffer, _ = filled(num_steps=90, num_envs=2, capacity=capacity)
    buffer.sample(3)
    middle = (buffer.first_kept + buffer.num_added) // 2
    chunks = [
        (start, buffer.chunk(start, stop))
        for start, stop in ((buffer.first_kept, middle), (middle, buffer.num_added))
    ]
    restored = FrameReplayBuffer(capacity, NUM_IMAGES, NUM_PIXELS, action_dim=2, seed=9)

    restored.restore_chunks(buffer.first_kept, chunks, buffer.rng_state)

    later = list(zip(range(5), transitions(2), strict=False))
    for _, (obs, next_obs, ended, number) in later:
        for each in (buffer, restored):
            action = np.stack((number, -number), axis=1)
            each.add(obs, action, number, next_obs, ended, np.zeros_like(ended))
    for mine, theirs in zip(buffer.sample(500), restored.sample(500), strict=True):
        assert torch.equal(mine, theirs)
    assert len(restored) == len(buffer)


def test_observations_can_be_looked_at() -> None:
    buffer, truth = filled(num_steps=30)

    obs = buffer.obs_at(np.array([3, 17]))

    np.testing.assert_array_equal(obs, [truth[3.0][0], truth[17.0][0]])
    assert obs.dtype == np.float32


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan])
def test_observation_that_is_no_picture_is_refused(value: float) -> None:
    buffer = FrameReplayBuffer(10, NUM_IMAGES, NUM_PIXELS, action_dim=1, seed=0)
    picture = np.zeros((1, NUM_IMAGES * NUM_PIXELS), np.float32)
    other = picture.copy()
    other[0, 5] = value

    with pytest.raises(NoPixelsError, match=r"0, 1 \.\.\. 255"):
        buffer.add(picture, [[0.0]], [0.0], other, [False], [False])
    assert len(buffer) == 0


def test_reward_that_is_not_finite_is_refused() -> None:
    buffer = FrameReplayBuffer(10, NUM_IMAGES, NUM_PIXELS, action_dim=1, seed=0)
    picture = np.zeros((1, NUM_IMAGES * NUM_PIXELS))

    with pytest.raises(NonFiniteTransitionError, match="reward"):
        buffer.add(picture, [[0.0]], [np.nan], picture, [False], [False])


@pytest.mark.parametrize("seed", range(25))
def test_no_transition_outlives_its_images_whatever_the_environments_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_images, num_envs = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    capacity = int(rng.integers(num_envs, 40))
    buffer = FrameReplayBuffer(capacity, num_images, NUM_PIXELS, action_dim=1, seed=0)
    num_greys = int(rng.integers(1, 5))  # few: equal images are found again where nobody expects

    def image() -> NDArray[np.uint8]:
        return rng.integers(0, num_greys, NUM_PIXELS).astype(np.uint8)

    def begun() -> list[NDArray[np.uint8]]:
        return [image()] * num_images

    stacks, truth = [begun() for _ in range(num_envs)], {}
    for step in range(60):
        # Some environments begin episodes, others show all new images, and the rest go on.
        after = [
            [image() for _ in stack] if rng.random() < 0.2 else [*stack[1:], image()]
            for stack in stacks
        ]
        obs, next_obs = (np.array([np.concatenate(s) for s in each]) for each in (stacks, after))
        numbers = step * num_envs + np.arange(num_envs)
        ended = np.zeros(num_envs, dtype=bool)
        buffer.add(obs, np.zeros((num_envs, 1)), numbers, next_obs, ended, ended)
        truth |= {n: (obs[i], next_obs[i]) for i, n in enumerate(numbers.tolist())}
        if rng.random() < 0.1:
            copy = FrameReplayBuffer(capacity, num_images, NUM_PIXELS, action_dim=1, seed=0)
            kept = (buffer.first_kept, buffer.num_added)
            copy.restore_chunks(kept[0], [(kept[0], buffer.chunk(*kept))], buffer.rng_state)
            assert copy.first_kept == buffer.first_kept
            buffer = copy
        stacks = [begun() if rng.random() < 0.2 else stack for stack in after]
        batch = buffer.sample(64)
        for row, number in enumerate(batch.reward.tolist()):
            np.testing.assert_array_equal(batch.obs[row].numpy(), truth[number][0])
            np.testing.assert_array_equal(batch.next_obs[row].numpy(), truth[number][1])
