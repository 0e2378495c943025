"""A simulated arm, its policy node and a learner at full load: processes over DDS in real time."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import yaml

from benchmarks.control.command_observer import CommandObserver
from benchmarks.untrained_run import UntrainedRun
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import to_mapping
from sac_ros.task.task_spec import TaskSpec, load_task
from sim_training.demos.demo_nodes import DemoError, last_line, node_process

TASK = "two_joint_arm"
STRETCH_S = 2.0
"""A policy is judged, and the next one started, after this time."""
LONGEST_TIMESTEP_S = 0.005
STARTUP_S = 1200.0
"""A busy machine compiles the learner's update for many minutes."""
SETTLE_S = 5.0


def write_task(folder: Path, rate_hz: float) -> TaskSpec:
    """Write the arm's task at this control rate, with a model that can be stepped at it."""
    arm = load_task(TASK)
    period_s = 1.0 / rate_hz
    timestep_s = period_s / -(-period_s // LONGEST_TIMESTEP_S)
    model = (package_share() / "config" / "models" / f"{TASK}.xml").read_text()
    model, found = re.subn(r'timestep="[^"]*"', f'timestep="{timestep_s!r}"', model)
    assert found == 1
    (folder / "arm.xml").write_text(model)
    task = replace(
        arm,
        control_period_s=period_s,
        max_episode_steps=round(STRETCH_S * rate_hz),
        simulator=replace(arm.simulator, mjcf="arm.xml"),
    )
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(to_mapping(task), sort_keys=False))
    return load_task(str(path))


@contextlib.contextmanager
def nodes(
    folder: Path, run: UntrainedRun, *, realtime_priority: int, compiled: bool, record: bool
) -> Iterator["dict[str, subprocess.Popen[bytes]]"]:
    """Start learner, robot and policy node, the learner first: it loads for seconds.

    `realtime_priority` is of the policy node and the robot, which would be hardware.
    """
    with ExitStack() as stack:
        learner = stack.enter_context(
            node_process(
                "learner_node",
                folder,
                *(f"policy:={run.policy}", f"checkpoint:={run.checkpoint}"),
                *(f"config:={run.recipe}", f"out:={folder / 'robot'}"),
                *(f"publish_period_s:={STRETCH_S / 2.0}", f"compiled:={str(compiled).lower()}"),
            )
        )
        wait_for_log(learner, folder, "learning for task")
        task = f"task:={folder / 'task.yaml'}"
        # Without a simulated clock, as on a robot: the node's watchdogs go by the steady one.
        robot = stack.enter_context(
            node_process("sim_robot_node", folder, task, "publish_clock:=false")
        )
        policy = stack.enter_context(
            node_process(
                "policy_node",
                folder,
                f"realtime_priority:={realtime_priority}",
                *(f"policy:={run.policy}", task, "act_on:=timer", "run:=continuous"),
                *("action_mode:=sample", "learner:=learner_node", "autostart:=true"),
                # Every policy of an untrained learner is let in, as long as it is sound.
                *("max_action_change:=2.0", "max_drop:=0.999"),
            )
        )
        processes = {"policy_node": policy, "learner_node": learner, "sim_robot_node": robot}
        if realtime_priority:
            _take_precedence(robot.pid, realtime_priority)
        if record:
            processes["bag_recorder"] = stack.enter_context(
                node_process(
                    "bag_recorder", folder, f"folder:={folder / 'bags'}", f"policy:={run.policy}"
                )
            )
        yield processes


def wait_for_log(learner: "subprocess.Popen[bytes]", folder: Path, text: str) -> None:
    """Wait until the learner has logged this text; raise DemoError if it ends or is too slow."""
    deadline_s = time.monotonic() + STARTUP_S
    while text not in (folder / "learner_node.log").read_text():
        if learner.poll() is not None or time.monotonic() > deadline_s:
            raise DemoError(f"the learner did not start: {last_line(folder, 'learner_node')}")
        time.sleep(0.2)


def wait_for_commands(
    observer: CommandObserver, processes: "dict[str, subprocess.Popen[bytes]]", folder: Path
) -> None:
    """Wait until the policy commands, and the learner learns: it compiles its updates first.

    Raises DemoError if a process ends, or takes too long.
    """
    deadline_s = time.monotonic() + STARTUP_S
    while not (observer.reports and observer.learning.get("phase") == "tuning"):
        observer.listen(0.1)
        ended = [name for name, process in processes.items() if process.poll() is not None]
        if ended or time.monotonic() > deadline_s:
            raise DemoError(f"no commands: {last_line(folder, *processes)}; logs are in {folder}")


def _take_precedence(pid: int, priority: int) -> None:
    """Put a whole process before all ordinary ones; threads that it begins later follow."""
    time.sleep(SETTLE_S)  # Fast DDS begins its threads with the node
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(priority))
