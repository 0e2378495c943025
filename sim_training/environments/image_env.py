"""Environments with image observations: Atari preprocessing, and a stack of the last four images.

It follows the "9 Atari implementation details" in The 37 Implementation Details of PPO, with
Gymnasium's own wrappers: up to 30 no-ops at reset, frame skip 4 with the maximum of the last two
frames, FIRE at reset where a game needs it, 84 x 84 grey pixels, and four stacked images. Training
uses the sign of the reward. A lost life is a termination for the learner, but the game goes on.
"""

from typing import TypeVar, cast

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TransformReward

from sim_training.environments.box_env import BoxEnv, EnvError

NUM_STACKED = 4
ATARI_TIME_LIMIT = 27_000
"""Steps of four frames: half an hour of play, the usual limit."""
# As in the NoFrameskip environments; AtariPreprocessing does the frame skip.
ATARI_SETTINGS = {"frameskip": 1, "repeat_action_probability": 0.0}

ObsT = TypeVar("ObsT")
ActionT = TypeVar("ActionT")


def is_atari(env_id: str) -> bool:
    """Return whether an id names an Atari game of ale-py, such as ale_py:ALE/Pong-v5."""
    return env_id.rpartition(":")[2].startswith("ALE/")


def load_atari() -> None:
    """Register the Atari games with Gymnasium; raise EnvError if ale-py is not installed."""
    try:
        import ale_py
    except ModuleNotFoundError as error:
        raise EnvError("Atari needs ale-py; run pip install 'sac_ros[atari]'") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def as_stacked_images(env: BoxEnv, env_id: str) -> BoxEnv:
    """Return the environment with the last four images stacked, if it has image observations."""
    if is_atari(env_id):
        env = LivesEnv(AtariPreprocessing(env))
    space = env.observation_space
    if isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 2:
        return cast(BoxEnv, FrameStackObservation(env, NUM_STACKED))
    return env


def with_signed_reward(env: BoxEnv) -> BoxEnv:
    """Replace the reward by its sign, so that one set of hyperparameters suits all games."""
    return cast(BoxEnv, TransformReward(env, lambda reward: float(np.sign(float(reward)))))


class LivesEnv(gym.Wrapper[ObsT, ActionT, ObsT, ActionT], gym.utils.RecordConstructorArgs):
    """Reports `life_lost` in `info`, and presses FIRE at the start of each life if needed.

    It takes the same actions as EpisodicLifeEnv and FireResetEnv of Stable-Baselines3, which do not
    count as steps of the policy: FIRE, then action 2 (RIGHT in Breakout), and a no-op before a
    further life.
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
        """Start a game and its first life."""
        obs, info = self.env.reset(seed=seed, options=options)
        for number in (1, 2) if self._begins_by_fire else ():
            obs, _, _, _, info = self.env.step(cast(ActionT, np.int64(number)))
        self._lives = cast(int, info["lives"])
        return obs, info

    def step(self, action: ActionT) -> tuple[ObsT, float, bool, bool, dict[str, object]]:
        """Take an action; if a life was lost but the game goes on, start the next life."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        life_lost = cast(int, info["lives"]) < self._lives
        total_reward = float(reward)
        for number in (0, 1, 2) if life_lost and self._begins_by_fire else ():
            if terminated or truncated:
                break
            obs, reward, terminated, truncated, info = self.env.step(
                cast(ActionT, np.int64(number))
            )
            total_reward += float(reward)
        self._lives = cast(int, info["lives"])
        return obs, total_reward, terminated, truncated, info | {"life_lost": life_lost}
