"""Environments of images: Atari's preprocessing, and the stack of the last four images.

After the "9 Atari implementation details" of The 37 Implementation Details of PPO, with Gymnasium's
own wrappers: up to 30 no-ops at reset, the greater of two frames of every four, FIRE where a game
waits for it, 84 x 84 grey pixels, four of them stacked, and in training the sign of the reward. A
lost life ends nothing but what the learner expects of it: the game goes on.
"""

from typing import TypeVar, cast

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TransformReward

from sim_training.environments.box_env import BoxEnv, EnvError

NUM_STACKED = 4
ATARI_TIME_LIMIT = 27_000
"""Steps of four frames: half an hour of play, as everywhere."""
# As of the NoFrameskip environments of the sources: four frames a step are preprocessing's.
ATARI_SETTINGS = {"frameskip": 1, "repeat_action_probability": 0.0}

ObsT = TypeVar("ObsT")
ActionT = TypeVar("ActionT")


def is_atari(env_id: str) -> bool:
    """Say whether an id is that of an Atari game of ale-py, such as ale_py:ALE/Pong-v5."""
    return env_id.rpartition(":")[2].startswith("ALE/")


def load_atari() -> None:
    """Make the games known to Gymnasium; raise EnvError where ale-py is not installed."""
    try:
        import ale_py
    except ModuleNotFoundError as error:
        raise EnvError("Atari needs ale-py; pip install 'sac_ros[atari]'") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def as_stacked_images(env: BoxEnv, env_id: str) -> BoxEnv:
    """Return the environment with four images as its observation, if it shows images."""
    if is_atari(env_id):
        env = LivesEnv(AtariPreprocessing(env))
    space = env.observation_space
    if isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 2:
        return cast(BoxEnv, FrameStackObservation(env, NUM_STACKED))
    return env


def with_signed_reward(env: BoxEnv) -> BoxEnv:
    """Return the environment with -1, 0 or 1 for a reward: so all games learn with one setting."""
    return cast(BoxEnv, TransformReward(env, lambda reward: float(np.sign(float(reward)))))


class LivesEnv(gym.Wrapper[ObsT, ActionT, ObsT, ActionT], gym.utils.RecordConstructorArgs):
    """Says `life_lost` in its info, and begins each life of a game that waits for FIRE.

    With the actions of the sources' EpisodicLifeEnv and FireResetEnv, none of them a step of the
    policy's: FIRE and the action after it, RIGHT in Breakout, and before a further life a no-op.
    """

    def __init__(self, env: gym.Env[ObsT, ActionT]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        meanings = cast(list[str], env.unwrapped.get_action_meanings())  # type: ignore[attr-defined]  # ale-py's
        self._begins_by_fire = meanings[1:2] == ["FIRE"]
        self._lives = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[ObsT, dict[str, object]]:
        """Begin a game, and its first life."""
        obs, info = self.env.reset(seed=seed, options=options)
        for number in (1, 2) if self._begins_by_fire else ():
            obs, _, _, _, info = self.env.step(cast(ActionT, np.int64(number)))
        self._lives = cast(int, info["lives"])
        return obs, info

    def step(self, action: ActionT) -> tuple[ObsT, float, bool, bool, dict[str, object]]:
        """Take an action; where it cost a life but not the game, begin the next one."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        life_lost = cast(int, info["lives"]) < self._lives
        earned = float(reward)
        for number in (0, 1, 2) if life_lost and self._begins_by_fire else ():
            if terminated or truncated:
                break
            obs, reward, terminated, truncated, info = self.env.step(
                cast(ActionT, np.int64(number))
            )
            earned += float(reward)
        self._lives = cast(int, info["lives"])
        return obs, earned, terminated, truncated, info | {"life_lost": life_lost}
