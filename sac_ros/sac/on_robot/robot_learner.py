"""A learner that lives with a robot: what it has seen and learned outlasts its process.

A folder holds the transitions (`transitions/`), those that a person commanded once more
(`demonstrations/`), the learner (`learner/`, a checkpoint without replay rows), the newest policies
(`policies/`), the one that earned most (`best_policy.onnx`), the highest version ever given to one
(`version`), and one row an episode (`episodes.csv`). Knows no ROS.

Shapes: n transitions, W numbers in a packed one, O obs_dim, A action_dim.
"""

import contextlib
import hashlib
import importlib.metadata
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.atomic_write import disk_errors_as, replace_file
from sac_ros.errors import InputError
from sac_ros.policy.contract import NUM_GOLDEN_PAIRS, GoldenPairs, PolicyContract, Provenance
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate, UpdateHeader
from sac_ros.sac.checkpoints.checkpoint import Progress, load_learner, save_checkpoint
from sac_ros.sac.checkpoints.checkpoint_manifest import MANIFEST
from sac_ros.sac.checkpoints.onnx_export import policy_bytes
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import LearnerState, SACLearner
from sac_ros.sac.on_robot.background_compilation import BackgroundCompilation
from sac_ros.sac.on_robot.best_policy import BestPolicy
from sac_ros.sac.on_robot.episode_returns import EpisodeReturns, EpisodeRow
from sac_ros.sac.on_robot.fine_tuning import DivergedError, FineTuning, Phase, adapted_state
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.prior_transitions import load_prior
from sac_ros.sac.replay.demonstrations import Demonstrations
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.transition_log import Mark, TransitionLog
from sac_ros.sac.replay.transition_rows import add_rows
from sac_ros.task.action import exceeds_limits
from sac_ros.task.transition import Transition, TransitionError, columns

NUM_SNAPSHOTS = 16
"""Learners of the newest policies that are kept, to go back to."""
SAVE_PERIOD_S = 30.0
SAME_ACTION = 1e-3
"""Mean distance, in units of [-1, 1], that rounding may put between the actions of one policy."""
PACKAGES = ("sac_ros", "torch", "numpy", "onnx", "onnxruntime")


class RobotFolderError(InputError):
    """The folder cannot be written to; learning goes on without."""


class RobotLearnerError(InputError):
    """What the learner should start from does not fit."""


@dataclass(frozen=True, kw_only=True)
class RobotLearnerSettings:
    """Where a learner starts from, and where it lives."""

    folder: Path
    checkpoint: Path | None
    """Of the training in simulation; None learns from scratch."""
    uses_prior: bool
    """Whether batches are mixed with the simulator's transitions, or with these:"""
    prior_transitions: Path | None = None
    """A folder that `sac-ros bag-to-buffer` wrote, in place of the simulator's transitions."""
    config: FineTuningConfig
    seed: int
    keep_policies: int = 16
    """Policy files that are kept, the newest ones."""
    compiled: bool = True
    """Whether updates run as one compiled function; they wait until it is compiled."""


class RobotLearner:
    """Everything a learner node does that is not ROS."""

    def __init__(self, settings: RobotLearnerSettings, contract: PolicyContract) -> None:
        """Read what was there; raise an InputError if it is another robot's or task's."""
        self.settings = settings
        self.contract = contract
        self.paused: str | None = None
        """Why nothing is learned at the moment; None while learning."""
        self.version = self._read_version()
        task = contract.task
        self._columns = columns(task.obs_dim, task.action_dim)
        self._obs_low = np.array(contract.obs_low, dtype=np.float32)
        self._obs_high = np.array(contract.obs_high, dtype=np.float32)
        # What can be refused comes before what must be closed again.
        learner = self._make_learner()
        prior = None
        if settings.uses_prior:
            prior = load_prior(
                settings.checkpoint, settings.prior_transitions, contract, settings.seed + 1
            )
        self.log = TransitionLog(
            settings.folder / "transitions",
            obs_dim=task.obs_dim,
            action_dim=task.action_dim,
            task_fingerprint=contract.task_fingerprint,
            capacity=settings.config.buffer_capacity,
        )
        online = ReplayBuffer(
            settings.config.buffer_capacity, task.obs_dim, task.action_dim, settings.seed
        )
        online.reserve_memory()
        self._first_of_version: dict[int, int] = {}
        self._bad: PolicyStatus | None = None
        for first, rows in self.log.open():
            self._take_over(online, first, rows)
        self.demonstrations = Demonstrations(
            settings.folder / "demonstrations", contract, settings.seed + 2
        )
        self._episode: tuple[int, int] = (-1, 0)
        """Number of the newest episode, and of its first transition in the log."""
        self.fine_tuning = FineTuning(
            learner, settings.config, online, prior, self.demonstrations.buffer
        )
        self.fine_tuning.count_earlier(self.log.num_added)
        self.tally = EpisodeReturns(settings.folder / "episodes.csv", self.log.num_added)
        self._policies = settings.folder / "policies"
        self.best = BestPolicy(settings.folder, self._policies)
        self._snapshots: dict[int, LearnerState] = {0: learner.state()}
        self._may_come_back: set[int] = {0}
        """Versions that the robot may come back to, by the last it said."""
        self._exported_updates = learner.num_updates
        self._exported_steps = self.log.num_added
        self._saved_s = time.monotonic()
        # The first export traces the network, for seconds; nobody waits for it yet.
        self._export(np.array(contract.golden.obs, dtype=np.float32))
        self._compilation: BackgroundCompilation | None = None
        if settings.compiled:
            self._compilation = BackgroundCompilation(learner, settings.config.batch_size)
            self._compilation.start()

    def add(self, transition: Transition) -> None:
        """Keep a transition for good, and learn from it.

        Raises TransitionError or NonFiniteTransitionError for one that is refused, which changes
        nothing; TransitionLogError or RobotFolderError (full disk) for one that is learned from but
        not kept, or whose episode is not.
        """
        if exceeds_limits(transition.action):
            raise TransitionError(f"the action {transition.action} lies outside of [-1, 1]")
        self.fine_tuning.add(transition)
        self._first_of_version.setdefault(transition.policy, self.log.num_added)
        if self._bad is not None and transition.policy not in self._bad.bad_versions:
            self._mark_bad()
        np.minimum(self._obs_low, transition.obs, out=self._obs_low)
        np.maximum(self._obs_high, transition.obs, out=self._obs_high)
        ended = self.tally.add(transition)
        # Last: that it is lost after the end, when the disk is full, harms less than not learning.
        number = self.log.num_added
        self.log.append(transition)
        if transition.episode != self._episode[0] or transition.step == 0:
            self._episode = (transition.episode, number)
        if transition.intervention:
            self.demonstrations.add(transition)
        if transition.aborted:
            reason = f"a person cut episode {transition.episode} short"
            self.log.mark(Mark(first=self._episode[1], last=number, kind="aborted", reason=reason))
        if ended is not None:
            self._keep_episode(ended)

    def learn_while(self, has_time: Callable[[], bool]) -> int:
        """Take updates that are owed until time is up; return how many.

        A learner that diverges goes back to its last sound state and pauses.
        """
        if self.paused is not None or self.is_compiling:
            return 0
        self._let_compiled_learner_in()
        try:
            return self.fine_tuning.update_while(has_time)
        except DivergedError as error:
            self._go_back_to(max(self._snapshots))
            self.paused = f"learning diverged ({error})"
            return 0

    @property
    def is_compiling(self) -> bool:
        """Whether updates still wait for being compiled; transitions are taken in all the same."""
        return self._compilation is not None and self._compilation.is_running

    @property
    def has_news(self) -> bool:
        """Whether the actor has learned since the last policy was made of it."""
        return (
            self.paused is None
            and self.fine_tuning.phase is Phase.TUNING
            and self.fine_tuning.learner.num_updates > self._exported_updates
        )

    @property
    def steps_since_export(self) -> int:
        """Robot steps since the last policy was made."""
        return self.fine_tuning.robot_steps - self._exported_steps

    def make_update(self, num_rollbacks: int) -> PolicyUpdate:
        """Make a policy of the actor, under a version of its own.

        Raises RobotFolderError (full disk): that version is never given then.
        """
        learner = self.fine_tuning.learner
        # First, so that a disk that stays full does not have policies made without end.
        self._exported_updates = learner.num_updates
        self._exported_steps = self.fine_tuning.robot_steps
        policy = self._export(self.fine_tuning.online.sample(NUM_GOLDEN_PAIRS).obs.numpy())
        self.version += 1
        with self._writing():
            # Before it is sent: no version may ever stand for two policies.
            self._write_version()
            self._keep(policy)
        self._snapshots[self.version] = learner.state()
        kept = {*self._may_come_back, *sorted(self._snapshots)[-NUM_SNAPSHOTS:]}
        for version in self._snapshots.keys() - kept:
            del self._snapshots[version]
        header = UpdateHeader(
            version=self.version,
            num_rollbacks=num_rollbacks,
            robot_steps=self.fine_tuning.robot_steps,
            task_fingerprint=self.contract.task_fingerprint,
            sha256=hashlib.sha256(policy).hexdigest(),
        )
        return PolicyUpdate(header=header, policy=policy)

    def heed(self, status: PolicyStatus) -> None:
        """Count versions on from those of the robot, and keep what it may come back to.

        It refuses what is not above the newest version it has taken, which may be the last one of
        a learner whose folder is lost.
        """
        self.version = max(self.version, status.newest_version)
        # The good one may be as old as the robot likes; the newest are kept anyhow.
        self._may_come_back = {0, status.good_version, status.version}

    def roll_back(self, status: PolicyStatus) -> None:
        """Become the learner of the policy that the robot went back to, mark the rest, pause."""
        # Of a version that an earlier process made, nothing is left but what this one began with.
        self._go_back_to(max(v for v in self._snapshots if v <= status.good_version))
        # The last transitions of the bad window may still be on their way: another topic's.
        self._bad = status
        self.paused = f"rolled back: {status.reason}"

    def resume(self) -> None:
        """Go on learning."""
        self.paused = None

    def save_if_due(self) -> None:
        """Save the learner now and then; raise as `save` does."""
        if time.monotonic() - self._saved_s > SAVE_PERIOD_S:
            self.save()

    def save(self) -> None:
        """Save learner and transitions down to the disk.

        Raises CheckpointError or TransitionLogError (full disk).
        """
        # First, so that a disk that stays full is tried again after a while, not at once.
        self._saved_s = time.monotonic()
        learner = self.fine_tuning.learner
        no_rows = ReplayBuffer(1, learner.obs_dim, learner.action_dim, seed=0)
        progress = Progress(values={"robot_steps": self.fine_tuning.robot_steps}, arrays={})
        save_checkpoint(self.settings.folder / "learner", learner, no_rows, progress)
        self.log.sync()
        self.demonstrations.log.sync()

    def close(self) -> None:
        """Save, and let another process have the folder."""
        try:
            self._mark_bad()
            self.save()
        finally:
            self.log.close()
            self.demonstrations.log.close()

    def _go_back_to(self, version: int) -> None:
        """Become the learner that this version was made of; what was learned since is lost."""
        self.fine_tuning.restore(self._snapshots[version])
        # Its count of updates went back too: the next one is news.
        self._exported_updates = self.fine_tuning.learner.num_updates
        for later in [v for v in self._snapshots if v > version]:
            del self._snapshots[later]

    def _let_compiled_learner_in(self) -> None:
        if self._compilation is not None:
            self.fine_tuning.learner = self._compilation.twin(self.fine_tuning.learner.state())
            self._compilation = None

    def _mark_bad(self) -> None:
        """Mark what the given-up policies did, now that the last of it has come."""
        status, self._bad = self._bad, None
        if status is None:
            return
        firsts = (self._first_of_version.get(version) for version in status.bad_versions)
        known = [first for first in firsts if first is not None]
        if known:
            last = self.log.num_added - 1
            self.log.mark(Mark(first=min(known), last=last, kind="bad", reason=status.reason))

    def _make_learner(self) -> SACLearner:
        """Return the learner of the last session, or of the simulator, or a new one."""
        own = self.settings.folder / "learner"
        source = own if (own / MANIFEST).exists() else self.settings.checkpoint
        config, task = self.settings.config, self.contract.task
        golden = self.contract.golden
        if not isinstance(golden, GoldenPairs):
            raise RobotLearnerError(
                f"the policy chooses among the {len(task.action.choices or ())} commands of task"
                f" {task.name!r}; only policies of sac, which command anything within limits, go on"
                " learning on robots"
            )
        if source is None:
            return SACLearner(
                task.obs_dim,
                task.action_dim,
                # Normalised, so that critics without any knowledge bear many updates per step.
                config.learner_config(SACConfig(critic_layer_norm=True)),
                self.settings.seed,
            )
        saved = load_learner(source)
        if not isinstance(saved.config, SACConfig):
            raise RobotLearnerError(
                f"{source} was trained by another algorithm than sac; only that learns on robots"
            )
        found, wanted = (saved.obs_dim, saved.action_dim), (task.obs_dim, task.action_dim)
        if found != wanted:
            raise RobotLearnerError(
                f"the checkpoint in {source} has (obs_dim, action_dim) {found}, the policy"
                f" {wanted}; give the checkpoint that the policy was exported from"
            )
        learner = SACLearner(
            task.obs_dim, task.action_dim, config.learner_config(saved.config), self.settings.seed
        )
        if source == own:
            learner.restore(saved.state)
        else:
            learner.restore(adapted_state(saved.state, config.alpha))
            _refuse_unless_policys_own(learner, golden, source)
        return learner

    def _keep_episode(self, row: EpisodeRow) -> None:
        with self._writing():
            self.tally.write(row)
            if row.is_the_policys_own:
                self.best.add(row)

    def _writing(self) -> AbstractContextManager[None]:
        return disk_errors_as(RobotFolderError, self.settings.folder)

    def _keep(self, policy: bytes) -> None:
        """Write the policy file for whoever wants to look at it, and remove the oldest."""
        self._policies.mkdir(exist_ok=True)
        replace_file(self._policies / f"{self.version:08d}.onnx", policy)
        for oldest in sorted(self._policies.glob("*.onnx"))[: -self.settings.keep_policies]:
            oldest.unlink(missing_ok=True)

    def _export(self, golden_obs: NDArray[np.float32]) -> bytes:
        return policy_bytes(
            self.fine_tuning.learner.actor,
            task=self.contract.task,
            provenance=self._provenance(),
            obs_low=self._obs_low,
            obs_high=self._obs_high,
            golden_obs=golden_obs,
        )

    def _take_over(self, online: ReplayBuffer, first: int, rows: NDArray[np.float64]) -> None:
        """Put transitions [n, W] of earlier sessions into memory."""
        add_rows(online, rows, self._columns)
        versions, indices = np.unique(rows[:, self._columns["policy"]], return_index=True)
        for version, index in zip(versions.astype(int).tolist(), indices.tolist(), strict=True):
            self._first_of_version.setdefault(version, first + index)
        self.version = max(self.version, int(versions.max(initial=0.0)))
        obs = rows[:, self._columns["obs"]].astype(np.float32)
        np.minimum(self._obs_low, obs.min(axis=0), out=self._obs_low)
        np.maximum(self._obs_high, obs.max(axis=0), out=self._obs_high)

    def _write_version(self) -> None:
        replace_file(self.settings.folder / "version", f"{self.version}\n".encode())

    def _read_version(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.settings.folder / "version").read_text())
        return 0

    def _provenance(self) -> Provenance:
        before = self.contract.provenance
        versions = {}
        for package in PACKAGES:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        return Provenance(
            algorithm=f"{before.algorithm}, fine-tuned on the robot",
            seed=self.settings.seed,
            steps=before.steps + self.fine_tuning.robot_steps,
            command=f"{before.command} && learner_node in {self.settings.folder}",
            git_commit=before.git_commit,
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            packages=versions,
        )


def _refuse_unless_policys_own(learner: SACLearner, golden: GoldenPairs, source: Path) -> None:
    """Raise RobotLearnerError unless this learner's actor is the policy that the robot runs.

    Else the first policy sent would not be that one, improved, but another one altogether.
    """
    with torch.no_grad():
        mode = learner.actor.mode(torch.tensor(golden.obs, dtype=torch.float32))
    difference = float((mode - torch.tensor(golden.mean).tanh()).abs().mean())
    if not difference <= SAME_ACTION:
        raise RobotLearnerError(
            f"the checkpoint in {source} does not belong to the policy: their actions differ by"
            f" {difference:.3f} on average; give the training's own policy.onnx, or the one that"
            " sac-ros export makes of the checkpoint (best_policy.onnx may be of earlier steps)"
        )
