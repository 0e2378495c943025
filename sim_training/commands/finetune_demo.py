"""`sac-ros demo-finetune`: a policy meets a robot it was not trained for, and learns to run it."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from sac_ros.sac.on_robot.episode_returns import EpisodeRow
from sac_ros.task.package_share import package_share
from sim_training.commands import train
from sim_training.demos.demo_nodes import own_environment, require_rclpy
from sim_training.demos.robot_session import (
    Measured,
    SimulatedRobot,
    learn_on_robot,
    measure_policy,
    newest_policy,
)
from sim_training.robot.perturbation import Perturbation
from sim_training.terminal.options import parse_options
from sim_training.training.run_folder import RunFolder

TASK = "inverted_pendulum"
MAX_STEPS = 12_000
MEASURED_EPISODES = 5
PERTURBATION = Perturbation(actuator_gain=4.0)
"""A motor that pushes four times as hard as the model's: many policies bear two and a half."""


@dataclass(frozen=True, kw_only=True)
class FinetuneDemoOptions:
    """What a person types."""

    out: Path = Path("runs/demo-finetune")
    """Folder for the runs, the plot and summary.json; an earlier demo in it is replaced."""
    robot_steps: int = 6_000
    """How long the robot learns."""
    real_time_factor: float = 3.0
    """Simulated seconds a second."""
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
    began_s = time.monotonic()
    console = Console()
    require_rclpy()
    if (options.out / "training").exists():
        shutil.rmtree(options.out)
    folder = RunFolder(options.out / "training")
    console.rule("1  train in MuJoCo")
    _train(folder, options.seed)
    robot = SimulatedRobot(
        task=TASK,
        perturbation=PERTURBATION,
        real_time_factor=options.real_time_factor,
        seed=options.seed,
        # Of this story, the pace of the machine it is told on is no part.
        waits=True,
    )
    with own_environment():
        console.rule(f"2  the policy over ROS 2, on a robot with {PERTURBATION}")
        frozen = measure_policy(
            folder.policy, robot, num_episodes=MEASURED_EPISODES, folder=options.out / "frozen"
        )
        console.print(f"mean return of {MEASURED_EPISODES} episodes: {frozen.mean:.1f} of 1000")
        console.rule(f"3  {options.robot_steps} steps of learning on that robot")
        learning = options.out / "learning"
        recipe = _write_recipe(options.out / "recipe.yaml")
        with console.status("") as status:
            rows, heard = learn_on_robot(
                folder.policy,
                robot,
                learner=(
                    f"checkpoint:={folder.checkpoint}",
                    f"config:={recipe}",
                    "keep_policies:=1000",
                    "compiled:=false",
                    "publish_period_s:=1.0",
                    f"seed:={options.seed}",
                ),
                # One push too many ends an episode here, so returns say little one by one: a narrow
                # bound would stop the learning for bad luck.
                policy_node=("baseline_episodes:=5", "max_drop:=0.95", "max_action_change:=1.0"),
                robot_steps=options.robot_steps,
                folder=learning,
                say=lambda rows: status.update(_progress(rows)),
            )
        console.rule("4  what it learned, measured as before")
        tuned_policy = newest_policy(learning, rows[-1].robot_steps, rows) or folder.policy
        tuned = measure_policy(
            tuned_policy, robot, num_episodes=MEASURED_EPISODES, folder=options.out / "tuned"
        )
    plot = options.out / "fine_tuning.png"
    _plot(rows, frozen, tuned, plot)
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
    path.write_text(json.dumps(summary, indent=2) + "\n")
    console.print(_table(summary))
    console.print(f"plot: {plot}\nfigures: {path}\npolicy: {tuned_policy}")
    if tuned.mean <= frozen.mean:
        console.print("the robot does no better than before")
        return 1
    return 0


def _train(folder: RunFolder, seed: int) -> None:
    config = package_share() / "config" / "demo.yaml"
    train.main(
        [
            *("--task", TASK, "--config", str(config), "--seed", str(seed)),
            *("--steps", str(MAX_STEPS), "--eval-every", "500", "--stop-at-return", "1000"),
            "--no-compiled",  # networks this small are trained before a compiler is done
            *("--out", str(folder.path)),
        ]
    )


def _write_recipe(path: Path) -> Path:
    """Write config/fine_tuning.yaml with the few numbers that a task of seconds asks for."""
    recipe = yaml.safe_load((package_share() / "config" / "fine_tuning.yaml").read_text())
    recipe |= {
        "warmup_steps": 500,
        "critic_steps": 500,
        "prior_anneal_steps": 4000,
        # As config/demo.yaml trains, and for its reasons.
        "actor_learning_rate": 1.0e-3,
        "critic_learning_rate": 3.0e-3,
        "target_entropy": -2.0,
        "tau": 0.05,
        "buffer_capacity": 100_000,
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def _progress(rows: list[EpisodeRow]) -> str:
    recent = [round(row.episode_return) for row in rows[-8:]]
    return f"{rows[-1].robot_steps} steps, policy {rows[-1].policy}, returns {recent}"


def _table(summary: dict[str, object]) -> Table:
    table = Table(title=f"{summary['task']} on a robot with {summary['robot']}")
    table.add_column("")
    table.add_column("measured", justify="right")
    for name in ("frozen_return", "tuned_return", "worst_return", "wall_s"):
        table.add_row(name, f"{summary[name]:.1f}")
    for name in ("robot_steps", "num_episodes", "missed_ticks", "lost_transitions"):
        table.add_row(name, str(summary[name]))
    return table


def _plot(rows: list[EpisodeRow], frozen: Measured, tuned: Measured, path: Path) -> None:
    """Draw each episode while learning, between what was measured before and after."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    steps = [row.robot_steps for row in rows]
    axes.plot(steps, [row.episode_return for row in rows], ".", label="each episode, exploring")
    for measured, colour, when in ((frozen, "tab:red", "before"), (tuned, "tab:green", "after")):
        label = f"{when}: most likely action, mean of {len(measured.returns)}"
        axes.axhline(measured.mean, color=colour, linestyle="--", label=label)
    axes.set(xlabel="robot steps", ylabel="return", title=f"{TASK}, {PERTURBATION}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
