"""A simulated robot and its policy, with or without a learner, as processes over DDS.

Shared by the demonstrations and the benchmark of fine-tuning.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from sac_ros.sac.on_robot.episodes_file import EpisodeRow, read_episodes
from sim_training.demos.demo_nodes import DemoError, last_line, node_process, terminate_on_error
from sim_training.robot.perturbation import Perturbation

POLL_S = 0.2
SILENCE_S = 300.0
"""Without an episode for this long, something has failed."""
STEP_TIMEOUT_S = 60.0
"""Without a control step for this long, a measurement has failed."""
JOINT_STATES = "joint_states.csv"
"""Name of the file with the joint positions that were heard in a measurement."""
ROBOT_PROGRAMS = ("policy_node", "learner_node", "sim_robot_node", "episode_recorder")


@dataclass(frozen=True, kw_only=True)
class SimulatedRobot:
    """The robot of a measurement or a learning session."""

    task: str
    perturbation: Perturbation
    real_time_factor: float
    """Simulated seconds for each real second."""
    seed: int
    waits: bool = False
    """Whether simulated time waits for each command and, in learning, for the learner's updates."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Returns and timing of a policy over DDS, with its most likely actions."""

    returns: tuple[float, ...]
    num_lost: int
    """Transitions that the recorder did not hear."""
    num_broken: int
    """Episodes without a return: interrupted by a fault, or with a lost transition."""
    period_mean_s: float
    """Mean time between two commands."""
    period_p99_s: float
    """99th percentile of the time between two commands."""
    latency_p50_ms: float
    """Median time from the publication of an observation to that of its command."""
    latency_p99_ms: float
    """99th percentile of the same."""
    num_missed_ticks: int
    """Commands more than half a period late."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return sum(self.returns) / len(self.returns)


def measure_policy(
    policy: Path,
    robot: SimulatedRobot,
    *,
    num_episodes: int,
    folder: Path,
    say: Callable[[tuple[float, ...]], None] = lambda returns: None,
) -> Measured:
    """Run whole episodes of one policy over DDS; raise DemoError if nothing comes.

    `say` gets the returns so far, several times a second. The joint positions that were heard are
    in folder/joint_states.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output, joints = folder / "recording.json", folder / JOINT_STATES
    for outdated in (output, joints):
        outdated.unlink(missing_ok=True)
    with ExitStack() as stack:
        recorder = stack.enter_context(
            node_process(
                "episode_recorder",
                folder,
                *(f"episodes:={num_episodes}", f"output:={output}", f"joint_states:={joints}"),
                *(f"policy:={policy}", f"timeout_s:={STEP_TIMEOUT_S}"),
            )
        )
        # The recorder first: an episode without its first step has no return.
        _wait_for_log(folder / "episode_recorder.log", "listening", recorder.poll)
        # The robot last: the policy waits for its reset service, and is heard by then.
        others = (
            stack.enter_context(node_process("policy_node", folder, *_policy(policy, robot))),
            stack.enter_context(_robot(robot, folder)),
        )
        stack.push(terminate_on_error(recorder, *others))
        while recorder.poll() is None and all(process.poll() is None for process in others):
            say(_read_recording(output).returns if output.exists() else ())
            time.sleep(POLL_S)
    if recorder.returncode != 0 or not output.exists():
        raise DemoError(
            f"the run over ROS failed: {last_line(folder, *ROBOT_PROGRAMS)}; logs are in {folder}"
        )
    return _read_recording(output)


def learn_on_robot(
    policy: Path,
    robot: SimulatedRobot,
    *,
    learner: tuple[str, ...],
    policy_node: tuple[str, ...] = (),
    robot_steps: int,
    folder: Path,
    say: Callable[[list[EpisodeRow]], None] = lambda rows: None,
) -> tuple[list[EpisodeRow], Measured]:
    """Let a learner learn for so many robot steps; return its episodes, and what others heard.

    `learner` and `policy_node` are further parameters of these nodes. The learner's own files are
    in folder/robot. Raises DemoError if a process ends or the robot falls silent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, recording = folder / "robot", folder / "recording.json"
    rows: list[EpisodeRow] = []
    with ExitStack() as stack:
        learner_process = stack.enter_context(
            node_process("learner_node", folder, f"policy:={policy}", f"out:={out}", *learner)
        )
        # The learner first: it loads for seconds, in which a fast robot takes many steps.
        _wait_for_log(folder / "learner_node.log", "learning for task", learner_process.poll)
        parameters = ("learner:=learner_node", "action_mode:=sample", *policy_node)
        stack.enter_context(
            node_process("episode_recorder", folder, "episodes:=1000000", f"output:={recording}")
        )
        processes = (
            learner_process,
            stack.enter_context(_robot(robot, folder, learner="learner_node")),
            stack.enter_context(
                node_process("policy_node", folder, *_policy(policy, robot), *parameters)
            ),
        )
        stack.push(terminate_on_error(*processes))
        heard_s = time.monotonic()
        while not rows or rows[-1].robot_steps < robot_steps:
            time.sleep(POLL_S)
            newer = read_episodes(out / "episodes.csv")
            if len(newer) > len(rows):
                heard_s = time.monotonic()
                say(newer)
            rows = newer
            ended = [process for process in processes if process.poll() is not None]
            if ended or time.monotonic() - heard_s > SILENCE_S:
                raise DemoError(
                    f"learning stopped at {rows[-1].robot_steps if rows else 0} robot steps:"
                    f" {last_line(folder, *ROBOT_PROGRAMS)}; logs are in {folder}"
                )
    # Complete: the recorder writes it before it ends.
    return rows, _read_recording(recording)


def newest_policy(folder: Path, at_robot_steps: int, rows: list[EpisodeRow]) -> Path | None:
    """Return the policy file that ran last by then; None if it is the initial one."""
    versions = [row.policy for row in rows if row.robot_steps <= at_robot_steps]
    if not versions or versions[-1] == 0:
        return None
    return folder / "robot" / "policies" / f"{versions[-1]:08d}.onnx"


def _read_recording(path: Path) -> Measured:
    recording = json.loads(path.read_text())
    period = cast(dict[str, float], recording["control_period_s"])
    latency = cast(dict[str, float], recording["latency_ms"])
    return Measured(
        returns=tuple(recording["returns_over_ros"]),
        num_lost=int(recording["lost_transitions"]),
        num_broken=int(recording["broken_episodes"]),
        period_mean_s=float(period.get("mean", 0.0)),
        period_p99_s=float(period.get("p99", 0.0)),
        latency_p50_ms=float(latency.get("p50", 0.0)),
        latency_p99_ms=float(latency.get("p99", 0.0)),
        num_missed_ticks=int(recording["missed_ticks"]),
    )


@contextmanager
def _robot(
    robot: SimulatedRobot, folder: Path, learner: str | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    changes = tuple(
        f"{field.name}:={getattr(robot.perturbation, field.name)}"
        for field in fields(robot.perturbation)
    )
    with node_process(
        "sim_robot_node",
        folder,
        *(f"task:={robot.task}", f"seed:={robot.seed}"),
        f"real_time_factor:={robot.real_time_factor}",
        f"waits_for_command:={str(robot.waits).lower()}",
        *((f"waits_for_learner:={learner}",) if robot.waits and learner is not None else ()),
        *changes,
    ) as process:
        yield process


def _policy(policy: Path, robot: SimulatedRobot) -> tuple[str, ...]:
    return (
        f"policy:={policy}",
        f"task:={robot.task}",
        "act_on:=observation",
        "run:=episodes",
        "autostart:=true",
        "use_sim_time:=true",
        # A stalled machine is not a failed sensor: the policy has to cope with late readings.
        f"max_age_s:={30.0 if robot.waits else 2.0}",
        f"seed:={robot.seed}",
    )


def _wait_for_log(log: Path, text: str, poll: Callable[[], int | None]) -> None:
    deadline_s = time.monotonic() + SILENCE_S
    while text not in log.read_text():
        if poll() is not None or time.monotonic() > deadline_s:
            raise DemoError(f"{log.stem} did not start: {last_line(log.parent, log.stem)}")
        time.sleep(POLL_S)
