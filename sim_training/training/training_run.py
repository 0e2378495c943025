"""The parts of one training run, and how they are begun, saved and resumed together.

Shapes: n environments, O obs_dim, A action_dim.
"""

import json
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.contract import NUM_GOLDEN_PAIRS
from sac_ros.sac.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from sac_ros.sac.learners.algorithms import Dimensions, make_learner
from sac_ros.sac.replay.replay_protocol import make_buffer
from sac_ros.task.strict_yaml import ConfigError, to_mapping
from sac_ros.task.task_spec import TaskSpec
from sim_training.environments.env import make_vector_env
from sim_training.environments.episode_replay import ReplayableEnv
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_config import TrainingConfig, resolve_execution
from sim_training.training.training_progress import LoopState, TrainingProgress


class TrainingRun:
    """Environments, learner, replay buffer and warm-up noise, and the folder they are saved in."""

    def __init__(self, config: TrainingConfig, task: TaskSpec, folder: RunFolder) -> None:
        # A stream each: none of them draws what another one has drawn.
        envs_seed, warmup_seed, buffer_seed = np.random.SeedSequence(config.seed).spawn(3)
        self.config = config
        self.task = task
        self.folder = folder
        self.envs = make_vector_env(
            task, config.num_envs, config.perturbation, config.randomization
        )
        self._env_seeds: list[int | None] = [
            int(word) for word in envs_seed.generate_state(config.num_envs)
        ]
        self._replayable_envs = cast(tuple[ReplayableEnv, ...], tuple(self.envs.envs))
        self._dimensions = Dimensions.of(task)
        self.learner = make_learner(
            self._dimensions, config.sac, config.seed, resolve_execution(config)
        )
        self.buffer = make_buffer(
            task.obs_dim,
            task.action_dim,
            config.sac,
            int(buffer_seed.generate_state(1)[0]),
            config.device,
        )
        self.saved_step = 0
        """Step of the last checkpoint."""
        self._warmup_rng = np.random.default_rng(warmup_seed)

    @property
    def obs(self) -> NDArray[np.float32]:
        """The current observations [n, O]."""
        return np.stack([env.obs for env in self._replayable_envs])

    def begin(self, command: str) -> TrainingProgress:
        """Reset everything from the run's seed, and save that."""
        self.folder.write_settings(self.config, self.task)
        obs, _ = self.envs.reset(seed=self._env_seeds)
        progress = TrainingProgress.at_first_obs(obs)
        progress.commands.append(command)
        # So that there is a checkpoint from the first moment on.
        self.save(progress)
        return progress

    def resume(self, command: str) -> TrainingProgress:
        """Bring everything to where it was saved; raise CheckpointError or ConfigError if not."""
        self._refuse_another_task()
        saved = load_checkpoint(self.folder.checkpoint, self.learner, self.buffer)
        state = LoopState.from_checkpoint(saved)
        self._warmup_rng.bit_generator.state = json.loads(state.warmup_rng_state)
        progress = state.progress
        self.saved_step = progress.step
        for index, (env, episode) in enumerate(
            zip(self._replayable_envs, state.episodes, strict=True)
        ):
            if not env.replay(episode):
                print(
                    f"environment {index} did not come back to where it was when its episode was"
                    " acted again (it depends on more than its seed and its actions): a new"
                    " episode begins, and this run is not exactly the uninterrupted one"
                )
                progress.episode_return[index] = 0.0
                progress.episode_length[index] = 0
        if progress.commands[-1] != command:
            progress.commands.append(command)
        self.folder.write_settings(self.config, self.task)
        return progress

    def draw_warmup_action(self) -> NDArray[np.float32]:
        """Draw actions [n, A] uniformly: from [-1, 1], or from a discrete task's choices."""
        if self._dimensions.choices is not None:
            choices = np.array(self._dimensions.choices, dtype=np.float32)
            return choices[self._warmup_rng.integers(0, len(choices), self.config.num_envs)]
        shape = (self.config.num_envs, self.task.action_dim)
        return self._warmup_rng.uniform(-1.0, 1.0, shape).astype(np.float32)

    def save(self, progress: TrainingProgress) -> LoopState:
        """Save a checkpoint and return its part; raise CheckpointError if that is impossible."""
        state = self.state(progress)
        save_checkpoint(self.folder.checkpoint, self.learner, self.buffer, state.to_checkpoint())
        self.saved_step = progress.step
        return state

    def state(self, progress: TrainingProgress) -> LoopState:
        """Return what a checkpoint and a policy file say of this moment."""
        return LoopState(
            progress=progress,
            episodes=tuple(env.record() for env in self._replayable_envs),
            warmup_rng_state=json.dumps(self._warmup_rng.bit_generator.state),
            golden_obs=self._golden_obs(progress.step),
        )

    def _golden_obs(self, step: int) -> NDArray[np.float32]:
        """Draw observations [32, O] from the replay buffer, the same whenever asked at a step."""
        if len(self.buffer) == 0:
            return np.resize(self.obs, (NUM_GOLDEN_PAIRS, self.task.obs_dim))
        rng = np.random.default_rng((self.config.seed, step))
        first, end = self.buffer.first_kept, self.buffer.num_added
        return self.buffer.obs_at(rng.integers(first, end, size=NUM_GOLDEN_PAIRS))

    def _refuse_another_task(self) -> None:
        before = cast(dict[str, object], to_mapping(self.folder.read_task()))
        now = cast(dict[str, object], to_mapping(self.task))
        changed = sorted(key for key in now if now[key] != before.get(key))
        if changed:
            raise ConfigError(
                f"the task {self.task.name!r} has changed in {changed} since {self.folder.path}"
                " began; restore its file to resume, or train anew in another --out"
            )
