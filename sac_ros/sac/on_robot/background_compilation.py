"""Compile a learner's update in a thread, while its process continues."""

import logging
from threading import Thread
from typing import Final

import torch

from sac_ros.sac.compute.execution import Execution
from sac_ros.sac.learners.learner import LearnerState, SACLearner
from sac_ros.sac.replay.replay_buffer import Batch

_log = logging.getLogger(__name__)


class BackgroundCompilation:
    """Makes a compiled copy of a learner, which then replaces it.

    The thread only uses the copy, never the learner. No update and no export should run meanwhile,
    because torch traces with patches that all threads see.
    """

    def __init__(self, learner: SACLearner, batch_size: int) -> None:
        self._twin: Final = SACLearner(
            learner.obs_dim,
            learner.action_dim,
            learner.config,
            seed=0,
            execution=Execution(compiled=True),
        )
        self._batch_size = batch_size
        self._num_threads = torch.get_num_threads()
        # As a daemon: it cannot be interrupted, and nothing that it does must be finished.
        self._thread = Thread(target=self._compile, name="compilation", daemon=True)

    def start(self) -> None:
        """Begin; up to a minute where nothing of it is cached, else seconds."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the twin is not ready yet."""
        return self._thread.is_alive()

    def twin(self, state: LearnerState) -> SACLearner:
        """Return the twin, once it is ready, as the learner that `state` was taken from."""
        self._twin.restore(state)
        return self._twin

    def _compile(self) -> None:
        # Each thread has a number of its own, and what is compiled is for one number.
        torch.set_num_threads(self._num_threads)
        rows, obs_dim, action_dim = self._batch_size, self._twin.obs_dim, self._twin.action_dim
        try:
            self._twin.update(
                Batch(
                    obs=torch.zeros(rows, obs_dim),
                    action=torch.zeros(rows, action_dim),
                    reward=torch.zeros(rows),
                    next_obs=torch.zeros(rows, obs_dim),
                    terminated=torch.zeros(rows, dtype=torch.bool),
                )
            )
        except Exception as error:  # the edge of the thread; the update tries again by itself
            _log.warning(f"the update could not be compiled ahead: {error!r}")
