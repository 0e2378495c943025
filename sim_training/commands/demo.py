"""`sac-ros demo`: train, export, and run the policy over ROS 2 against a MuJoCo robot."""

import csv
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from rich.console import Console
from rich.table import Table

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sim_training.commands import train
from sim_training.demos.demo_nodes import (
    DemoError,
    last_line,
    node_process,
    own_environment,
    require_rclpy,
)
from sim_training.evaluation.policy_evaluation import evaluate_policy
from sim_training.terminal.options import parse_options
from sim_training.training.run_folder import RunFolder

TASK = "inverted_pendulum"
CONTROL_PERIOD_S = 0.04
MAX_STEPS = 12_000
SIMULATION_EPISODES = 10
SOLVED_RETURN = 950.0
"""Of 1000; what every episode over ROS must reach."""
STEP_TIMEOUT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a person types."""

    out: Path = Path("runs/demo")
    """Folder for the run, the plot and summary.json; an earlier demo in it is replaced."""
    episodes: int = 5
    """Episodes over ROS 2, in real time: 40 s each."""
    seed: int = 1
    """Of the training."""

    def __post_init__(self) -> None:
        """Refuse a count that is none."""
        if self.episodes < 1:
            raise ValueError(f"episodes must be at least 1, got {self.episodes}")


class Spread(TypedDict, total=False):
    """Count, mean and percentiles, as the episode recorder writes them."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float


class Recording(TypedDict):
    """What the episode recorder writes."""

    returns_over_ros: list[float]
    lost_transitions: int
    control_period_s: Spread
    latency_ms: Spread


def main(argv: Sequence[str]) -> int:
    """Run the demo; return 0 if every episode over ROS was solved."""
    options = parse_options(
        DemoOptions,
        argv,
        prog="sac-ros demo",
        description="Train inverted_pendulum from scratch, export it, and run it over ROS 2.",
    )
    began_s = time.monotonic()
    console = Console()
    folder = RunFolder(options.out / "training")
    # Before the training, so that a missing rclpy is not found out after it.
    require_rclpy()
    if folder.has_checkpoint:
        shutil.rmtree(folder.path)
    console.rule("1  train in MuJoCo")
    _train(folder, options.seed)
    console.rule("2  the exported policy in simulation")
    returns = evaluate_policy(
        OnnxPolicy.load(folder.policy), num_episodes=SIMULATION_EPISODES, seed=options.seed
    )
    return_in_simulation = sum(returns) / len(returns)
    console.print(f"mean return of {len(returns)} episodes: {return_in_simulation:.1f}")
    console.rule(f"3  the same policy over ROS 2, {options.episodes} episodes in real time")
    recording = _run_over_ros(folder.policy, options, console)
    plot = options.out / "learning_curve.png"
    _plot(folder.progress_csv, recording["returns_over_ros"], plot)
    summary = {
        "task": TASK,
        "return_in_simulation": return_in_simulation,
        "returns_over_ros": recording["returns_over_ros"],
        "control_period_s": recording["control_period_s"]["mean"],
        "control_period_p99_s": recording["control_period_s"]["p99"],
        "latency_ms": recording["latency_ms"]["p50"],
        "latency_p99_ms": recording["latency_ms"]["p99"],
        "lost_transitions": recording["lost_transitions"],
        "wall_s": time.monotonic() - began_s,
    }
    path = options.out / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    console.print(_table(summary))
    console.print(f"learning curve: {plot}\nfigures: {path}\npolicy: {folder.policy}")
    unsolved = [value for value in recording["returns_over_ros"] if value < SOLVED_RETURN]
    if unsolved:
        console.print(f"not solved over ROS: returns {unsolved} are below {SOLVED_RETURN}")
    return 1 if unsolved else 0


def _train(folder: RunFolder, seed: int) -> None:
    config = package_share() / "config" / "demo.yaml"
    train.main(
        [
            *("--task", TASK, "--config", str(config), "--seed", str(seed)),
            *("--steps", str(MAX_STEPS), "--eval-every", "500", "--stop-at-return", "1000"),
            *("--out", str(folder.path)),
            "--no-compiled",  # networks this small are trained before a compiler is done
        ]
    )


def _run_over_ros(policy: Path, options: DemoOptions, console: Console) -> Recording:
    """Start robot, policy node and recorder as processes; return what the recorder measured."""
    output = options.out / "recording.json"
    output.unlink(missing_ok=True)
    logs = options.out / "log"
    logs.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(own_environment())
        recorder = stack.enter_context(
            node_process(
                "episode_recorder",
                logs,
                f"episodes:={options.episodes}",
                f"output:={output}",
                f"timeout_s:={STEP_TIMEOUT_S}",
            )
        )
        others = [
            stack.enter_context(node_process("sim_robot_node", logs, f"task:={TASK}")),
            stack.enter_context(
                node_process(
                    "policy_node",
                    logs,
                    f"policy:={policy}",
                    f"task:={TASK}",
                    "act_on:=observation",
                    "run:=episodes",
                    "autostart:=true",
                    # A simulation that stumbles is no robot whose messages are held up.
                    "use_sim_time:=true",
                )
            ),
        ]
        with console.status("") as status:
            began_s = time.monotonic()
            while recorder.poll() is None:
                time.sleep(0.2)
                done = _read(output)["returns_over_ros"] if output.exists() else []
                status.update(
                    f"{time.monotonic() - began_s:.0f} s, returns so far:"
                    f" {[round(value) for value in done]}"
                )
                if any(process.poll() is not None for process in others):
                    break
    if recorder.returncode != 0:
        reason = last_line(logs, "policy_node", "sim_robot_node", "episode_recorder")
        raise DemoError(f"the run over ROS failed: {reason}; logs are in {logs}")
    return _read(output)


def _read(path: Path) -> Recording:
    return cast(Recording, json.loads(path.read_text()))


def _table(summary: dict[str, object]) -> Table:
    table = Table(title=f"{TASK}: from simulation to ROS 2")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("wanted", justify="right")
    returns = cast(list[float], summary["returns_over_ros"])
    rows = (
        ("return in simulation", f"{summary['return_in_simulation']:.1f}", "1000"),
        ("return over ROS, each episode", ", ".join(f"{r:.0f}" for r in returns), "≥ 950"),
        ("control period, mean", f"{summary['control_period_s']:.5f} s", f"{CONTROL_PERIOD_S} s"),
        ("control period, 99 %", f"{summary['control_period_p99_s']:.5f} s", ""),
        ("sensor out to command out, median", f"{summary['latency_ms']:.2f} ms", ""),
        ("sensor out to command out, 99 %", f"{summary['latency_p99_ms']:.2f} ms", ""),
        ("lost transitions", str(summary["lost_transitions"]), "0"),
        ("whole demo", f"{summary['wall_s']:.0f} s", ""),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _plot(progress_csv: Path, returns_over_ros: list[float], path: Path) -> None:
    """Draw the evaluations in simulation, and beside them the returns over ROS."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with progress_csv.open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    steps = [row["step"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    axes.errorbar(
        steps,
        [row["return_mean"] for row in rows],
        yerr=[row["return_std"] for row in rows],
        marker="o",
        capsize=3,
        label="evaluation in simulation, mean ± std of 10 episodes",
    )
    after = steps[-1] * 1.04
    axes.scatter(
        [after] * len(returns_over_ros),
        returns_over_ros,
        marker="_",
        s=300,
        color="tab:red",
        label="the exported policy over ROS 2, each episode",
        zorder=3,
    )
    axes.set(xlabel="environment steps", ylabel="return", title=f"{TASK}, SAC from scratch")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
