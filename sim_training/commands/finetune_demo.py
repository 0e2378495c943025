"""`sac-ros demo-finetune`: a policy meets a robot it was not trained for, and learns to run it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sac_ros.sac.on_robot.episodes_file import EpisodeRow
from sim_training.demos.demo_nodes import ended_by_sigterm, own_environment, require_rclpy
from sim_training.demos.figures import plot_learning
from sim_training.demos.film import film_run
from sim_training.demos.fine_tuning_recipe import write_recipe
from sim_training.demos.pendulum_policy import TASK, demo_folder, train_pendulum
from sim_training.demos.robot_session import (
    JOINT_STATES,
    Measured,
    SimulatedRobot,
    learn_on_robot,
    measure_policy,
    newest_policy,
)
from sim_training.demos.summary import results_table, write_summary
from sim_training.robot.perturbation import Perturbation
from sim_training.terminal.options import parse_options
from sim_training.training.run_folder import RunFolder

MEASURED_EPISODES = 5
PERTURBATION = Perturbation(actuator_gain=4.0)
"""A motor that is four times as strong as the model's; many policies cope with two and a half."""

FILM_S = 12.0


@dataclass(frozen=True, kw_only=True)
class FinetuneDemoOptions:
    """What a person types."""

    out: Path = Path("runs/demo-finetune")
    """Folder for the runs, the plot, the film and summary.json; replaces an earlier demo in it."""
    robot_steps: int = 6_000
    """How many control steps the robot learns for."""
    real_time_factor: float = 3.0
    """Simulated seconds for each real second; simulated time waits for every command."""
    seed: int = 1
    """Of training, robot and learning."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.robot_steps < 1000:
            raise ValueError(f"robot_steps must be at least 1000, got {self.robot_steps}")
        if not 0.1 <= self.real_time_factor <= 20.0:
            raise ValueError(f"real_time_factor must be in [0.1, 20], got {self.real_time_factor}")


def main(argv: Sequence[str]) -> int:
    """Run the demo; return 0 if the robot does better than before."""
    options = parse_options(
        FinetuneDemoOptions,
        argv,
        prog="sac-ros demo-finetune",
        description="Train inverted_pendulum, run it on a robot that differs, and learn there.",
    )
    require_rclpy()
    results = ("training", "frozen", "learning", "tuned")
    with ended_by_sigterm(), demo_folder(options.out, results):
        return _run(options, Console())


def _run(options: FinetuneDemoOptions, console: Console) -> int:
    began_s = time.monotonic()
    folder = RunFolder(options.out / "training")
    console.rule("1  train in MuJoCo")
    train_pendulum(folder, seed=options.seed)
    robot = SimulatedRobot(
        task=TASK,
        perturbation=PERTURBATION,
        real_time_factor=options.real_time_factor,
        seed=options.seed,
        # The returns before and after are to be compared: the machine's load must not change them.
        waits=True,
    )
    with own_environment():
        console.rule(f"2  the policy over ROS 2, on a robot with {PERTURBATION}")
        console.print("simulated time waits for every command, so the machine's load has no effect")
        frozen = measure_policy(
            folder.policy, robot, num_episodes=MEASURED_EPISODES, folder=options.out / "frozen"
        )
        console.print(f"mean return of {MEASURED_EPISODES} episodes: {frozen.mean:.1f} of 1000")
        console.rule(f"3  {options.robot_steps} steps of learning on that robot")
        rows, heard = _learn(folder, robot, options, console)
        console.rule("4  the learned policy, measured as before")
        tuned_policy = newest_policy(options.out / "learning", rows[-1].robot_steps, rows)
        tuned = measure_policy(
            tuned_policy or folder.policy,
            robot,
            num_episodes=MEASURED_EPISODES,
            folder=options.out / "tuned",
        )
    plot = options.out / "fine_tuning.png"
    plot_learning(rows, frozen, tuned, plot, title=f"{TASK}, {PERTURBATION}")
    with console.status("drawing the film"):
        film = film_run(
            TASK,
            {
                "before learning": options.out / "frozen" / JOINT_STATES,
                "after learning": options.out / "tuned" / JOINT_STATES,
            },
            options.out / "film.mp4",
            duration_s=FILM_S,
        )
    summary = {
        "task": TASK,
        "robot": str(PERTURBATION),
        "frozen_return": frozen.mean,
        "tuned_return": tuned.mean,
        "worst_return": min(row.episode_return for row in rows),
        "robot_steps": rows[-1].robot_steps,
        "missed_ticks": heard.num_missed_ticks,
        "lost_transitions": heard.num_lost,
        "num_episodes": len(rows),
        "real_time_factor": options.real_time_factor,
        "wall_s": time.monotonic() - began_s,
    }
    path = options.out / "summary.json"
    write_summary(path, summary)
    console.print(
        results_table(
            f"{TASK} on a robot with {PERTURBATION}",
            _rows(frozen, tuned, rows, heard, time.monotonic() - began_s),
        )
    )
    console.print(f"plot: {plot}\nsummary: {path}\npolicy: {tuned_policy or folder.policy}")
    console.print(film, soft_wrap=True)
    if tuned.mean <= frozen.mean:
        console.print("the robot does no better than before")
        return 1
    return 0


def _learn(
    folder: RunFolder, robot: SimulatedRobot, options: FinetuneDemoOptions, console: Console
) -> tuple[list[EpisodeRow], Measured]:
    """Learn on the robot from where the training ended; show the newest episodes meanwhile."""
    with console.status("") as status:
        return learn_on_robot(
            folder.policy,
            robot,
            learner=(
                f"checkpoint:={folder.checkpoint}",
                f"config:={write_recipe(options.out / 'recipe.yaml')}",
                "keep_policies:=1000",
                "compiled:=false",
                "publish_period_s:=1.0",
                f"seed:={options.seed}",
            ),
            # One wrong force ends an episode on this robot, so single returns say little: a
            # narrow bound would stop the learning by chance.
            policy_node=("baseline_episodes:=5", "max_drop:=0.95", "max_action_change:=1.0"),
            robot_steps=options.robot_steps,
            folder=options.out / "learning",
            say=lambda rows: status.update(_progress(rows)),
        )


def _progress(rows: list[EpisodeRow]) -> str:
    recent = [round(row.episode_return) for row in rows[-8:]]
    return f"{rows[-1].robot_steps} steps, policy {rows[-1].policy}, returns {recent}"


def _rows(
    frozen: Measured, tuned: Measured, rows: list[EpisodeRow], heard: Measured, wall_s: float
) -> list[tuple[str, str, str]]:
    worst = min(row.episode_return for row in rows)
    return [
        ("mean return before learning", f"{frozen.mean:.1f}", ""),
        ("mean return after learning", f"{tuned.mean:.1f}", "more than before"),
        ("worst episode while learning", f"{worst:.1f}", ""),
        ("robot steps", str(rows[-1].robot_steps), ""),
        ("episodes", str(len(rows)), ""),
        ("missed ticks", str(heard.num_missed_ticks), ""),
        ("lost transitions", str(heard.num_lost), "0"),
        ("whole demo", f"{wall_s:.0f} s", ""),
    ]
