"""Measure how much of the lost return learning on a changed robot recovers.

For every shift, seed and arm, a learner learns on the changed robot for the given robot steps, over
DDS or, with --in-process, without ROS. Afterwards the changed simulator measures, with the most
likely actions: the policy that ran at each mark, the one before learning (frozen), the best one
that the learner kept, and with --ceiling one that was trained there. Each finished run is a JSON
file in --out and is not repeated. Tables and curves go to --out too.

    python -m benchmarks.learning.fine_tuning --run runs/hc1 --shift actuator_gain=0.7 --seeds 1 2 3
"""

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import yaml

from benchmarks.learning.fine_tuning_report import Point, Run, read_runs, write_report
from benchmarks.learning.robot_in_process import BASELINE_EPISODES, learn_in_process
from benchmarks.machine import describe_machine
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.checkpoints.checkpoint import load_learner
from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sac_ros.sac.on_robot.fine_tuning_config import FineTuningConfig
from sac_ros.sac.on_robot.robot_learner_settings import RobotLearnerSettings
from sac_ros.task.package_share import package_share
from sac_ros.task.strict_yaml import read_yaml
from sim_training.demos.demo_nodes import own_environment
from sim_training.demos.robot_session import (
    Measured,
    SimulatedRobot,
    learn_on_robot,
    newest_policy,
)
from sim_training.evaluation.policy_evaluation import run_policy
from sim_training.robot.perturbation import Perturbation

PACKAGES = ("torch", "numpy", "mujoco", "onnxruntime", "rclpy", "rmw-fastrtps-cpp")
# Naive continuing: what training in simulation would do next, with an empty buffer, and unguarded.
NAIVE = {
    "warmup_steps": 256,
    "critic_steps": 0,
    "prior_share": 0.0,
    "alpha": None,
}
ARMS = ("ours", "naive", "from_scratch")
UNGUARDED = ("max_drop:=0.999", "max_action_change:=2.0", "baseline_episodes:=1")


def main() -> None:
    """Run what is missing, then write tables and curves."""
    options = _parse()
    options.out.mkdir(parents=True, exist_ok=True)
    for shift in options.shift:
        if options.ceiling:
            _once(options, shift, "ceiling", 0)
        for seed in options.seeds:
            for arm in options.arms:
                _once(options, shift, arm, seed)
    write_report(read_runs(options.out), options.out)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of the nominal policy")
    parser.add_argument("--ceiling", type=Path, help="run folder trained in the shifted simulator")
    parser.add_argument("--shift", nargs="+", required=True, help="such as actuator_gain=0.7")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--robot-steps", type=int, default=50_000)
    parser.add_argument("--measure-every", type=int, default=2_500, help="robot steps")
    parser.add_argument("--episodes", type=int, default=5, help="of each measurement")
    parser.add_argument("--in-process", action="store_true", help="without ROS")
    parser.add_argument("--real-time-factor", type=float, default=5.0, help="over DDS")
    parser.add_argument("--real-time", action="store_true", help="over DDS: the robot never waits")
    parser.add_argument("--out", type=Path, default=Path("runs/fine_tuning"))
    return parser.parse_args()


def _once(options: argparse.Namespace, shift: str, arm: str, seed: int) -> None:
    transport = "in_process" if options.in_process else "dds"
    if transport == "dds" and options.real_time:
        transport = "dds_real_time"
    path = options.out / f"run-{shift}-{arm}-{seed}-{transport}.json"
    if path.exists():
        print(f"{path.name} is there")
        return
    machine = describe_machine(PACKAGES)
    robot = _robot(options, shift, seed)
    began_s = time.monotonic()
    if arm == "ceiling":
        policies: list[tuple[int, Path]] = [(0, options.ceiling / "policy.onnx")]
        rows, updates, heard, best = [], 0, None, None
    else:
        rows, updates, heard, folder = _learn(options, robot, arm, path.stem)
        policies = _policies_that_ran(options, rows, folder)
        best = _kept_best(folder)
    wall_s = time.monotonic() - began_s
    run = Run(
        shift=shift,
        arm=arm,
        seed=seed,
        transport=transport,
        policy=str(options.run),
        robot_steps=rows[-1].robot_steps if rows else 0,
        updates=updates,
        wall_s=wall_s,
        real_time_factor=None if options.in_process else robot.real_time_factor,
        missed_ticks=None if heard is None else heard.num_missed_ticks,
        lost_transitions=None if heard is None else heard.num_lost,
        live_returns=[(row.robot_steps, row.policy, row.episode_return) for row in rows],
        points=[
            Point(robot_steps=steps, return_mean=_measure(policy, robot, options.episodes))
            for steps, policy in policies
        ],
        best_kept=None if best is None else _measure(best, robot, options.episodes),
    )
    path.write_text(json.dumps({"machine": asdict(machine), **asdict(run)}, indent=1) + "\n")
    print(f"wrote {path}: {[(p.robot_steps, round(p.return_mean)) for p in run.points]}")


def _learn(
    options: argparse.Namespace, robot: SimulatedRobot, arm: str, name: str
) -> tuple[list[EpisodeRow], int, Measured | None, Path]:
    """Return the episodes, the updates taken, what the recorder heard, and the learner's folder."""
    folder = options.out / f"log-{name}"
    if folder.exists():
        shutil.rmtree(folder)  # of an interrupted run
    folder.mkdir(parents=True)
    policy, recipe = options.run / "policy.onnx", _write_recipe(arm, folder / "recipe.yaml")
    checkpoint = None if arm == "from_scratch" else options.run / "checkpoint"
    heard = None

    def say(rows: list[EpisodeRow]) -> None:
        print(f"{name}: {rows[-1]}", flush=True)

    if options.in_process:
        rows = learn_in_process(
            policy,
            robot,
            RobotLearnerSettings(
                folder=folder / "robot",
                checkpoint=checkpoint,
                uses_prior=arm == "ours",
                config=read_yaml(recipe, FineTuningConfig),
                seed=robot.seed,
                keep_policies=1000,
            ),
            baseline_episodes=BASELINE_EPISODES if arm == "ours" else 1,
            robot_steps=options.robot_steps,
            say=say,
        )
    else:
        source = "from_scratch:=true" if checkpoint is None else f"checkpoint:={checkpoint}"
        with own_environment():
            rows, heard = learn_on_robot(
                policy,
                robot,
                learner=(
                    *(source, f"config:={recipe}", f"prior:={str(arm == 'ours').lower()}"),
                    *("keep_policies:=1000", "niceness:=0", f"seed:={robot.seed}"),
                ),
                policy_node=() if arm == "ours" else UNGUARDED,
                robot_steps=options.robot_steps,
                folder=folder,
                say=say,
            )
    before = 0 if checkpoint is None else load_learner(checkpoint).state.num_updates
    updates = load_learner(folder / "robot" / "learner").state.num_updates - before
    return rows, updates, heard, folder


def _write_recipe(arm: str, path: Path) -> Path:
    name = "from_scratch.yaml" if arm == "from_scratch" else "fine_tuning.yaml"
    recipe = yaml.safe_load((package_share() / "config" / name).read_text())
    if arm == "naive":
        recipe |= NAIVE
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def _policies_that_ran(
    options: argparse.Namespace, rows: list[EpisodeRow], folder: Path
) -> list[tuple[int, Path]]:
    """Return the policy of the last episode before each mark; the one that came is the first."""
    frozen = options.run / "policy.onnx"
    marks = range(options.measure_every, options.robot_steps + 1, options.measure_every)
    ran = [(mark, newest_policy(folder, mark, rows) or frozen) for mark in marks]
    return [(0, frozen), *ran]


def _kept_best(folder: Path) -> Path | None:
    best = folder / "robot" / "best_policy.onnx"
    return best if best.exists() else None


def _measure(policy: Path, robot: SimulatedRobot, num_episodes: int) -> float:
    """Return the mean return of the same start states for whichever policy."""
    loaded = OnnxPolicy.load(policy)
    episodes = run_policy(
        loaded, loaded.mode, num_episodes=num_episodes, seed=1, video=None,
        perturbation=robot.perturbation,
    )  # fmt: skip
    return sum(episode.episode_return for episode in episodes) / num_episodes


def _robot(options: argparse.Namespace, shift: str, seed: int) -> SimulatedRobot:
    changes = dict(item.split("=") for item in shift.split(","))
    values = {
        name: int(value) if name == "command_delay_steps" else float(value)
        for name, value in changes.items()
    }
    return SimulatedRobot(
        task=OnnxPolicy.load(options.run / "policy.onnx").task.name,
        perturbation=Perturbation(**values),  # type: ignore[arg-type]
        real_time_factor=1.0 if options.real_time else options.real_time_factor,
        seed=seed,
        waits=not options.real_time,
    )


if __name__ == "__main__":
    main()
