"""The parts of one training run, started, saved and resumed together.

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
    """Environments, learner, replay buffer and warm-up generator, with the run folder."""

    def __init__(self, config: TrainingConfig, task: TaskSpec, folder: RunFolder) -> None:
        # Independent random generators for environments, warm-up actions and replay sampling.
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
        """Environment step of the last checkpoint."""
        self._warmup_rng = np.random.default_rng(warmup_seed)

    @property
    def obs(self) -> NDArray[np.float32]:
        """The current observations [n, O]."""
        return np.stack([env.obs for env in self._replayable_envs])

    def begin(self, command: str) -> TrainingProgress:
        """Start a new run: reset the environments from the run's seed and save a checkpoint."""
        self.folder.write_settings(self.config, self.task)
        obs, _ = self.envs.reset(seed=self._env_seeds)
        progress = TrainingProgress.at_first_obs(obs)
        progress.commands.append(command)
        # A checkpoint exists from the start on, so that the run can always be resumed.
        self.save(progress)
        return progress

    def resume(self, command: str) -> TrainingProgress:
        """Restore everything from the checkpoint; raise CheckpointError or ConfigError."""
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
                    f"environment {index} is not deterministic: repeating its episode gave another"
                    " observation. A new episode starts; the run will differ from an uninterrupted"
                    " one"
                )
                progress.episode_return[index] = 0.0
                progress.episode_length[index] = 0
        if progress.commands[-1] != command:
            progress.commands.append(command)
        self.folder.write_settings(self.config, self.task)
        return progress

    def draw_warmup_action(self) -> NDArray[np.float32]:
        """Sample actions [n, A] uniformly: from [-1, 1], or from a discrete task's choices."""
        if self._dimensions.choices is not None:
            choices = np.array(self._dimensions.choices, dtype=np.float32)
            return choices[self._warmup_rng.integers(0, len(choices), self.config.num_envs)]
        shape = (self.config.num_envs, self.task.action_dim)
        return self._warmup_rng.uniform(-1.0, 1.0, shape).astype(np.float32)

    def save(self, progress: TrainingProgress) -> LoopState:
        """Save a checkpoint and return the state of the loop in it; raise CheckpointError."""
        state = self.state(progress)
        save_checkpoint(self.folder.checkpoint, self.learner, self.buffer, state.to_checkpoint())
        self.saved_step = progress.step
        return state

    def state(self, progress: TrainingProgress) -> LoopState:
        """Return the state of the loop that a checkpoint and a policy file contain."""
        return LoopState(
            progress=progress,
            episodes=tuple(env.record() for env in self._replayable_envs),
            warmup_rng_state=json.dumps(self._warmup_rng.bit_generator.state),
            golden_obs=self._golden_obs(progress.step),
        )

    def _golden_obs(self, step: int) -> NDArray[np.float32]:
        """Sample observations [32, O] from the replay buffer; the same ones at the same step."""
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
                f"the task {self.task.name!r} has changed in {changed} since the run in"
                f" {self.folder.path} began; restore the task file to resume, or start a new run in"
                " another --out"
            )
