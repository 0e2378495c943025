"""Kill learner, policy node and both at random moments; each must go on as if nothing had happened.

    python -m benchmarks.faults.learner_kills --kills 100

A run of a robot without DDS: the node's side (PolicyVersions) lives in this process and loses all
its memory when it is "killed"; the learner (RobotLearner) is a process of its own that really dies
by SIGKILL, in the midst of whatever it does. Policies are good or bad by their version number, so
the right decision is known at every moment, and with it what an undisturbed run would do. Judged
after every kill: which weights are learned from, whether learning waits for an operator, that no
version stands for two policies, that no acknowledged transition is lost, and which policy is best.
"""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.random_policy import export_untrained
from sac_ros.policy.contract import PolicyContract
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdate
from sac_ros.policy.updates.policy_versions import PolicyVersions, Successor
from sac_ros.policy.updates.return_guard import GuardSettings
from sac_ros.sac.checkpoints.checkpoint import Progress, save_checkpoint
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.robot_learner import RobotLearner
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.task.episode_counter import Episode
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import Transition, new_session

EPISODE_STEPS = 10
BAD_VERSIONS = (3, 4, 5)
"""Modulo six: of two bad versions in a row, the guard gives up the second."""
VICTIMS = ("nobody", "nobody", "learner", "learner", "learner", "node", "both")
ANSWER_S = 300.0
RECIPE = FineTuningConfig(warmup_steps=20, critic_steps=0, batch_size=16, buffer_capacity=5000)


class KilledError(Exception):
    """The learner died; `answer` is what it had said until then to the last order."""

    def __init__(self, answer: object) -> None:
        super().__init__("killed")
        self.answer = answer


def episode_return(version: int) -> float:
    """Return what an episode of a version returns: more with each, but nothing by a bad one."""
    return 0.0 if version % 6 in BAD_VERSIONS else 100.0 + version


def serve_learner(
    settings: RobotLearnerSettings, contract: PolicyContract, pipe: Connection
) -> None:
    """Be the learner node: take orders, answer each when it is done."""
    learner = RobotLearner(settings, contract)
    obs = torch.from_numpy(np.random.default_rng(1).normal(0.0, 0.1, (32, 4)).astype(np.float32))
    heard: PolicyStatus | None = None
    while True:
        order, argument = pipe.recv()
        answer: object = None
        if order == "add":
            for transition in argument:
                learner.add(transition)
            answer = learner.log.num_added
        elif order == "learn":
            learner.learn_while(lambda: True)
            # As the node: by the last that it heard of the robot.
            is_rolled_back = heard is None or heard.is_rolled_back
            known = learner.acknowledged_rollbacks if is_rolled_back else heard.num_rollbacks
            answer = learner.make_update(known) if learner.has_news else None
            learner.save()
        elif order == "status":
            heard = argument
            learner.heed(argument)
            if argument.is_rolled_back and not learner.has_followed(argument):
                learner.roll_back(argument)
        elif order == "resume":
            learner.resume()
        with torch.no_grad():
            mode = learner.fine_tuning.learner.actor.mode(obs).numpy()
        best = learner.best.version
        pipe.send((answer, learner.paused is not None, learner.log.num_added, mode, best))


@dataclass
class Learner:
    """The learner's process, seen from outside, and what it said last."""

    settings: RobotLearnerSettings
    contract: PolicyContract
    rng: np.random.Generator
    is_paused: bool = False
    num_added: int = 0
    mode: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    best: int | None = None
    modes: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """What the actor of each version sent does at some observations."""
    took_s: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process, as a fork: torch takes seconds to load."""
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        arguments = (self.settings, self.contract, theirs)
        self.process = context.Process(target=serve_learner, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.ask("hello")

    def ask(self, order: str, argument: object = None, *, kills: bool = False) -> object:
        """Let it do something; with `kills`, kill it somewhere on the way. Raises KilledError."""
        began_s = time.monotonic()
        self.pipe.send((order, argument))
        if kills:
            time.sleep(self.rng.uniform(0.0, 1.2) * self.took_s.get(order, 0.1))
            self.kill()
        try:
            if not self.pipe.poll(ANSWER_S):
                raise TimeoutError(f"no answer to {order!r} in {ANSWER_S} s")
            answer, self.is_paused, self.num_added, self.mode, self.best = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise KilledError(None) from error
        if isinstance(answer, PolicyUpdate):
            self.modes[answer.header.version] = self.mode
        if kills:
            raise KilledError(answer)
        self.took_s[order] = time.monotonic() - began_s
        return answer

    def kill(self) -> None:
        """End it as a power cut of the process would."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()


class RobotRun:
    """A robot that runs policies, a learner beside it, and what an undisturbed run would do."""

    def __init__(self, learner: Learner, policy: OnnxPolicy, rng: np.random.Generator) -> None:
        self.learner, self.policy, self.rng = learner, policy, rng
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.sha256: dict[int, str] = {}
        self.is_paused = False
        self.last_rollback: tuple[int, int] | None = None
        self.num_acknowledged = 0
        learner.start()
        learner.modes[0] = learner.mode
        self.start_node()

    def start_node(self) -> None:
        """Start the node's side anew: it runs the file it was given, and knows of nothing."""
        self.session, self.episode = new_session(), 0
        first = Successor(version=0, policy=self.policy, select_action=self.policy.mode)
        settings = GuardSettings(baseline_episodes=2)
        self.versions = PolicyVersions(first, settings, self.session)

    def step(self, kill: str) -> None:
        """Let one episode pass, with the learning after it; kill somebody on the way."""
        if kill in ("node", "both"):
            self.start_node()
        orders = ["add", "learn", "status", *(["resume"] if self.is_paused else [])]
        target = str(self.rng.choice(orders))
        kills = kill in ("learner", "both")
        self.order("add", self._episode(), kills=kills and target == "add")
        update = self.order("learn", None, kills=kills and target == "learn")
        if isinstance(update, PolicyUpdate):
            self._take(update)
        status = self.versions.status()
        rollback = (status.session, status.num_rollbacks)
        if status.is_rolled_back and rollback != self.last_rollback:
            self.is_paused, self.last_rollback = True, rollback
        self.order("status", self.versions.status(), kills=kills and target == "status")
        self.judge()
        # An operator looks now and then, not at once.
        if self.is_paused and (target == "resume" or self.rng.random() < 0.5):
            self.order("resume", None, kills=kills and target == "resume")
            self.is_paused = False
            self.counts["resumed"] += 1
            if self.learner.is_paused:
                self._fail("still paused after ~/resume")

    def order(self, name: str, argument: object, *, kills: bool) -> object:
        """Let the learner do something; where it dies, start it again and tell what is latched."""
        try:
            answer = self.learner.ask(name, argument, kills=kills)
        except KilledError as error:
            answer = error.answer
            self.counts[f"killed {'in' if answer is None else 'after'} {name}"] += 1
            self.learner.start()
            self.learner.ask("status", self.versions.status())
            if name == "resume":  # whoever called the service saw no answer, and calls again
                self.learner.ask("resume")
        if name == "add" and isinstance(answer, int):
            self.num_acknowledged = answer
        return answer

    def judge(self) -> None:
        """Compare the learner with what an undisturbed one would say now."""
        status = self.versions.status()
        if self.learner.is_paused is not self.is_paused:
            self._fail(f"paused is {self.learner.is_paused}, expected {self.is_paused}")
        if self.learner.num_added < self.num_acknowledged:
            self._fail(f"{self.learner.num_added} transitions of {self.num_acknowledged}")
        if self.is_paused and status.is_rolled_back:
            wanted = self.learner.modes[status.good_version]
            difference = float(np.abs(self.learner.mode - wanted).max())
            if difference > 1e-6:
                self._fail(f"weights differ from version {status.good_version}'s: {difference}")
            self.counts["rollbacks judged"] += 1
        best = self.learner.best
        if best is not None and episode_return(best) == 0.0:
            self._fail(f"best policy is version {best}, which is bad")

    def _take(self, update: PolicyUpdate) -> None:
        version, digest = update.header.version, hashlib.sha256(update.policy).hexdigest()
        if self.sha256.setdefault(version, digest) != digest:
            self._fail(f"version {version} stands for two policies")
        if version > self.versions.status().newest_version:
            self.versions.offer(
                Successor(
                    version=version,
                    policy=self.policy,
                    select_action=self.policy.mode,
                    num_rollbacks=update.header.num_rollbacks,
                )
            )
            self.versions.swap()
            self.counts["policies sent"] += 1

    def _episode(self) -> list[Transition]:
        """Return the steps of an episode of the running policy, and let the guard judge it."""
        version = self.versions.running.version
        total = episode_return(version)
        self.episode += 1
        rng = self.rng
        steps = [
            Transition(
                session=self.session,
                episode=self.episode,
                step=step,
                obs=rng.normal(0.0, 0.1, 4).astype(np.float32),
                action=rng.uniform(-1.0, 1.0, 1),
                reward=total / EPISODE_STEPS,
                next_obs=rng.normal(0.0, 0.1, 4).astype(np.float32),
                terminated=False,
                truncated=step == EPISODE_STEPS - 1,
                policy=version,
            )
            for step in range(EPISODE_STEPS)
        ]
        reason = self.versions.judge(
            Episode(
                episode=self.episode,
                policy=version,
                episode_return=total,
                length=EPISODE_STEPS,
                ending="truncated",
                num_interventions=0,
                is_of_one_policy=True,
            )
        )
        self.counts["rollbacks"] += reason is not None
        self.versions.swap()
        return steps

    def _fail(self, text: str) -> None:
        self.violations.append(text)


def kill_campaign(folder: Path, num_kills: int, seed: int) -> RobotRun:
    """Run until so many processes were killed; `violations` of the result says what went wrong."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    task = load_task("inverted_pendulum")
    config = SACConfig(hidden_sizes=(8,), buffer_capacity=300, batch_size=16)
    sac, no_rows = SACLearner(4, 1, config, seed=0), ReplayBuffer(300, 4, 1, seed=0)
    save_checkpoint(folder / "checkpoint", sac, no_rows, Progress(values={}, arrays={}))
    export_untrained(sac.actor, folder / "policy.onnx", task, "benchmarks.faults.learner_kills")
    policy = OnnxPolicy.load(folder / "policy.onnx")
    settings = RobotLearnerSettings(
        folder=folder / "robot",
        checkpoint=folder / "checkpoint",
        uses_prior=False,
        config=RECIPE,
        seed=0,
        compiled=False,
    )
    run = RobotRun(Learner(settings, policy.contract, rng), policy, rng)
    killed = 0
    while killed < num_kills:
        kill = str(rng.choice(VICTIMS))
        run.step(kill)
        killed += kill != "nobody"
        run.counts[f"asked to kill {kill}"] += 1
    run.learner.kill()
    return run


def main() -> int:
    """Run the campaign; return 1 if anything went on otherwise than undisturbed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="processes to kill (100)")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims (0)")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        run = kill_campaign(Path(name), options.kills, options.seed)
        shutil.rmtree(Path(name) / "robot")
    for what, count in sorted(run.counts.items()):
        print(f"{what}: {count}")
    print(f"violations: {len(run.violations)}", *run.violations, sep="\n  ")
    return int(bool(run.violations))


if __name__ == "__main__":
    raise SystemExit(main())
