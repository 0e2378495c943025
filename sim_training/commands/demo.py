"""`sac-ros demo`: train, export, and run the policy over ROS 2 against a MuJoCo robot."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.task_spec import load_task
from sim_training.demos.demo_nodes import ended_by_sigterm, own_environment, require_rclpy
from sim_training.demos.figures import plot_training
from sim_training.demos.film import film_run
from sim_training.demos.pendulum_policy import TASK, demo_folder, train_pendulum
from sim_training.demos.robot_session import (
    JOINT_STATES,
    Measured,
    SimulatedRobot,
    measure_policy,
)
from sim_training.demos.summary import results_table, write_summary
from sim_training.evaluation.policy_evaluation import evaluate_policy
from sim_training.robot.perturbation import NOMINAL, Perturbation
from sim_training.terminal.options import parse_options
from sim_training.training.run_folder import RunFolder

SIMULATION_EPISODES = 10
SOLVED_RETURN = 950.0
"""Of 1000; every episode over ROS must reach it."""
STALLING_ROBOT = Perturbation(command_stall_s=0.2)
"""The robot to train on: a busy machine delays commands, and a policy can learn to cope."""

FILM_S = 10.0


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a person types."""

    out: Path = Path("runs/demo")
    """Folder for the run, the plot, the film and summary.json; replaces an earlier demo in it."""
    episodes: int = 2
    """Episodes over ROS 2, in real time: 40 s each."""
    seed: int = 1
    """Of the training and of the robot's start poses."""
    training: Path | None = None
    """Run folder of an earlier demo, such as runs/demo/training: run its policy, train nothing."""

    def __post_init__(self) -> None:
        """Refuse a demo without episodes."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")


def main(argv: Sequence[str]) -> int:
    """Run the demo; return 0 if every episode over ROS was solved."""
    options = parse_options(
        DemoOptions,
        argv,
        prog="sac-ros demo",
        description="Train inverted_pendulum from scratch, export it, and run it over ROS 2.",
    )
    # Before the training, so that a missing rclpy is found out at once.
    require_rclpy()
    results = ("over_ros",) if options.training else ("training", "over_ros")
    with ended_by_sigterm(), demo_folder(options.out, results):
        return _run(options, Console())


def _run(options: DemoOptions, console: Console) -> int:
    began_s = time.monotonic()
    folder = RunFolder(options.training or options.out / "training")
    if options.training is None:
        console.rule("1  train in MuJoCo, on a robot whose commands stall for up to 0.2 s")
        train_pendulum(folder, seed=options.seed, robot=STALLING_ROBOT)
    else:
        console.rule(f"1  no training: the policy of {folder.path}")
    console.rule("2  the exported policy in simulation")
    returns = evaluate_policy(
        OnnxPolicy.load(folder.policy), num_episodes=SIMULATION_EPISODES, seed=options.seed
    )
    return_in_simulation = sum(returns) / len(returns)
    console.print(f"mean return of {len(returns)} episodes: {return_in_simulation:.1f}")
    console.rule(f"3  the same policy over ROS 2, {options.episodes} episodes in real time")
    measured = _run_over_ros(folder.policy, options, console)
    plot, path = options.out / "learning_curve.png", options.out / "summary.json"
    with console.status("drawing the film"):
        plot_training(folder.progress_csv, measured.returns, plot, title=f"{TASK}, SAC")
        film = film_run(
            TASK,
            {f"{TASK} over ROS 2": options.out / "over_ros" / JOINT_STATES},
            options.out / "film.mp4",
            duration_s=FILM_S,
        )
    wall_s = time.monotonic() - began_s
    write_summary(path, _summary(measured, return_in_simulation, wall_s))
    console.print(
        results_table(
            f"{TASK}: from simulation to ROS 2", _rows(measured, return_in_simulation, wall_s)
        )
    )
    console.print(f"learning curve: {plot}\nsummary: {path}\npolicy: {folder.policy}")
    console.print(film, soft_wrap=True)
    unsolved = [value for value in measured.returns if value < SOLVED_RETURN]
    if unsolved:
        console.print(f"not solved over ROS: returns {unsolved} are below {SOLVED_RETURN}")
    return 1 if unsolved else 0


def _run_over_ros(policy: Path, options: DemoOptions, console: Console) -> Measured:
    robot = SimulatedRobot(task=TASK, perturbation=NOMINAL, real_time_factor=1.0, seed=options.seed)
    console.print("the robot does not wait for commands: what the machine delays, the policy meets")
    with own_environment(), console.status("starting robot and policy") as status:
        began_s = time.monotonic()
        num_said = 0

        def say(returns: tuple[float, ...]) -> None:
            nonlocal num_said
            for number in range(num_said, len(returns)):
                console.print(f"episode {number + 1}: return {returns[number]:.0f}")
            num_said = len(returns)
            status.update(
                f"episode {num_said + 1} of {options.episodes}, {time.monotonic() - began_s:.0f} s"
            )

        return measure_policy(
            policy,
            robot,
            num_episodes=options.episodes,
            folder=options.out / "over_ros",
            say=say,
        )


def _summary(measured: Measured, return_in_simulation: float, wall_s: float) -> dict[str, object]:
    return {
        "task": TASK,
        "return_in_simulation": return_in_simulation,
        "returns_over_ros": list(measured.returns),
        "control_period_s": measured.period_mean_s,
        "control_period_p99_s": measured.period_p99_s,
        "latency_ms": measured.latency_p50_ms,
        "latency_p99_ms": measured.latency_p99_ms,
        "lost_transitions": measured.num_lost,
        "broken_episodes": measured.num_broken,
        "wall_s": wall_s,
    }


def _rows(
    measured: Measured, return_in_simulation: float, wall_s: float
) -> list[tuple[str, str, str]]:
    returns = ", ".join(f"{value:.0f}" for value in measured.returns)
    period_s = load_task(TASK).control_period_s
    return [
        ("return in simulation", f"{return_in_simulation:.1f}", "1000"),
        ("return over ROS, each episode", returns, f"≥ {SOLVED_RETURN:.0f}"),
        ("control period, mean", f"{measured.period_mean_s:.5f} s", f"{period_s} s"),
        ("control period, 99 %", f"{measured.period_p99_s:.5f} s", ""),
        ("sensor out to command out, median", f"{measured.latency_p50_ms:.2f} ms", ""),
        ("sensor out to command out, 99 %", f"{measured.latency_p99_ms:.2f} ms", ""),
        ("lost transitions", str(measured.num_lost), "0"),
        ("interrupted episodes", str(measured.num_broken), "0"),
        ("whole demo", f"{wall_s:.0f} s", ""),
    ]
