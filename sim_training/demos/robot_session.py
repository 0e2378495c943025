"""A session of learning on a simulated robot: robot, policy node and learner as processes over DDS.

Shared by the demonstration and the benchmark; nothing in it knows what is being shown.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from sac_ros.sac.on_robot.episode_returns import EpisodeRow, read_episodes
from sim_training.demos.demo_nodes import DemoError, last_line, node_process
from sim_training.robot.perturbation import Perturbation

POLL_S = 0.2
SILENCE_S = 300.0
"""Without an episode for this long, something has failed."""
ROBOT_PROGRAMS = ("policy_node", "learner_node", "sim_robot_node", "episode_recorder")


@dataclass(frozen=True, kw_only=True)
class SimulatedRobot:
    """The robot that a session is with."""

    task: str
    perturbation: Perturbation
    real_time_factor: float
    """Simulated seconds a second."""
    seed: int
    waits: bool = False
    """Whether simulated time waits for commands and, in learning, for updates that are owed."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a policy was measured to earn, most likely actions, over DDS."""

    returns: tuple[float, ...]
    num_lost: int
    """Transitions that the recorder did not hear."""
    period_p99_s: float
    """99th percentile of the time between two commands."""
    num_missed_ticks: int
    """Commands more than half a period late."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return sum(self.returns) / len(self.returns)


def measure_policy(
    policy: Path, robot: SimulatedRobot, *, num_episodes: int, folder: Path
) -> Measured:
    """Run whole episodes of one policy over DDS; raise DemoError if nothing comes."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "recording.json"
    output.unlink(missing_ok=True)
    with ExitStack() as stack:
        recorder = stack.enter_context(
            node_process(
                "episode_recorder",
                folder,
                *(f"episodes:={num_episodes}", f"output:={output}", "timeout_s:=60.0"),
            )
        )
        stack.enter_context(_robot(robot, folder))
        stack.enter_context(node_process("policy_node", folder, *_policy(policy, robot)))
        recorder.wait()
    if recorder.returncode != 0:
        raise DemoError(f"the measurement failed: {last_line(folder, *ROBOT_PROGRAMS)}; {folder}")
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
        # First the learner: it loads for seconds, in which a fast robot does many steps.
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
    # Ended by now, and written.
    return rows, _read_recording(recording)


def newest_policy(folder: Path, at_robot_steps: int, rows: list[EpisodeRow]) -> Path | None:
    """Return the policy file that ran last by then; None if it is the one that came."""
    versions = [row.policy for row in rows if row.robot_steps <= at_robot_steps]
    if not versions or versions[-1] == 0:
        return None
    return folder / "robot" / "policies" / f"{versions[-1]:08d}.onnx"


def _read_recording(path: Path) -> Measured:
    recording = json.loads(path.read_text())
    period = cast(dict[str, float], recording["control_period_s"])
    return Measured(
        returns=tuple(recording["returns_over_ros"]),
        num_lost=int(recording["lost_transitions"]),
        period_p99_s=float(period.get("p99", 0.0)),
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
        # Of a simulation, the machine's pauses are no fault of a sensor.
        f"max_age_s:={30.0 if robot.waits else 2.0}",
        f"seed:={robot.seed}",
    )


def _wait_for_log(log: Path, text: str, poll: Callable[[], int | None]) -> None:
    deadline_s = time.monotonic() + SILENCE_S
    while text not in log.read_text():
        if poll() is not None or time.monotonic() > deadline_s:
            raise DemoError(f"{log.stem} did not start: {last_line(log.parent, log.stem)}")
        time.sleep(POLL_S)
