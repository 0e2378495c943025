"""How much of what a robot costs a policy is won back by learning on it, over DDS.

For every shift, arm and seed: the policy as it came is measured on the shifted robot (most likely
actions), a learner learns there for the given robot steps, and the policies that ran at each mark
are measured like the first. `--ceiling RUN` measures a policy trained in the shifted simulator.
Each finished run is a JSON file in --out; what is there is not run again. The curves go to
fine_tuning.csv and fine_tuning.png.

    python benchmarks/fine_tuning.py --run runs/hc1 --shift actuator_gain=0.7 --seeds 1 2 3
"""

import argparse
import csv
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from machine import describe_machine

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sim_training.demo_nodes import own_environment
from sim_training.perturbation import Perturbation
from sim_training.robot_session import (
    EpisodeRow,
    SimulatedRobot,
    learn_on_robot,
    measure_policy,
    newest_policy,
)

PACKAGES = ("torch", "numpy", "mujoco", "onnxruntime", "rclpy", "rmw-fastrtps-cpp")
# Naive continuing: what training in simulation would do next, with an empty buffer, and unguarded.
NAIVE = {
    "warmup_steps": 256,
    "critic_steps": 0,
    "prior_share": 0.0,
    "actor_learning_rate": 3.0e-4,
    "alpha": None,
}
ARMS = ("ours", "naive", "from_scratch")
UNGUARDED = ("max_drop:=0.999", "max_action_change:=2.0", "baseline_episodes:=1")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement of one run."""

    shift: str
    arm: str
    seed: int
    robot_steps: int
    return_mean: float
    live_return_mean: float | None
    """Mean return of the live episodes, exploration included, since the previous point."""


def main() -> None:
    """Run what is missing, then write the table and the figure."""
    options = _parse()
    options.out.mkdir(parents=True, exist_ok=True)
    with own_environment():
        for shift in options.shift:
            if options.ceiling:
                _once(options, shift, "ceiling", 0, lambda s=shift: _ceiling(options, s))
            for seed in options.seeds:
                for arm in options.arms:
                    _once(
                        options,
                        shift,
                        arm,
                        seed,
                        lambda s=shift, a=arm, n=seed: _run(options, s, a, n),
                    )
    points = [
        Point(**point)
        for path in sorted(options.out.glob("run-*.json"))
        for point in json.loads(path.read_text())["points"]
    ]
    _write_table(options.out / "fine_tuning.csv", points)
    _plot(options.out / "fine_tuning.png", points)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder of the nominal policy")
    parser.add_argument("--ceiling", type=Path, help="run folder trained in the shifted simulator")
    parser.add_argument("--shift", nargs="+", required=True, help="such as actuator_gain=0.7")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--robot-steps", type=int, default=50_000)
    parser.add_argument("--measure-every", type=int, default=5_000, help="robot steps")
    parser.add_argument("--episodes", type=int, default=3, help="of each measurement")
    parser.add_argument("--real-time-factor", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("runs/fine_tuning"))
    return parser.parse_args()


def _once(options: argparse.Namespace, shift: str, arm: str, seed: int, run: object) -> None:
    path = options.out / f"run-{shift}-{arm}-{seed}.json"
    if path.exists():
        print(f"{path.name} is there")
        return
    points, learning = run()  # type: ignore[operator]
    record = {
        "machine": asdict(describe_machine(PACKAGES)),
        "policy": str(options.run),
        "robot_steps": options.robot_steps,
        "real_time_factor": options.real_time_factor,
        "learning": learning,
        "points": [asdict(point) for point in points],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


def _ceiling(options: argparse.Namespace, shift: str) -> tuple[list[Point], dict[str, object]]:
    measured = measure_policy(
        options.ceiling / "policy.onnx",
        _robot(options, shift, seed=0),
        num_episodes=options.episodes,
        folder=options.out / f"log-{shift}-ceiling",
    )
    point = Point(
        shift=shift, arm="ceiling", seed=0, robot_steps=0, return_mean=measured.mean,
        live_return_mean=None,
    )  # fmt: skip
    return [point], {}


def _run(
    options: argparse.Namespace, shift: str, arm: str, seed: int
) -> tuple[list[Point], dict[str, object]]:
    robot, policy = _robot(options, shift, seed), options.run / "policy.onnx"
    folder = options.out / f"log-{shift}-{arm}-{seed}"
    if folder.exists():
        shutil.rmtree(folder)  # of an interrupted run
    folder.mkdir(parents=True)
    frozen = measure_policy(policy, robot, num_episodes=options.episodes, folder=folder / "measure")
    rows, heard = learn_on_robot(
        policy,
        robot,
        learner=(*_learner(options, arm, folder), f"seed:={seed}"),
        policy_node=() if arm == "ours" else UNGUARDED,
        robot_steps=options.robot_steps,
        folder=folder,
        say=lambda rows: print(f"{shift} {arm} {seed}: {rows[-1]}", flush=True),
    )
    points = [_point(shift, arm, seed, 0, frozen.mean, None)]
    for mark in range(options.measure_every, options.robot_steps + 1, options.measure_every):
        ran = newest_policy(folder, mark, rows)
        mean = frozen.mean
        if ran is not None:
            mean = measure_policy(
                ran, robot, num_episodes=options.episodes, folder=folder / "measure"
            ).mean
        live = _live(rows, mark - options.measure_every, mark)
        points.append(_point(shift, arm, seed, mark, mean, live))
        print(points[-1], flush=True)
    learning = {
        "missed_ticks": heard.num_missed_ticks,
        "lost_transitions": heard.num_lost,
        "period_p99_s": heard.period_p99_s,
        "learner_log_tail": (folder / "learner_node.log").read_text()[-500:],
    }
    return points, learning


def _point(shift: str, arm: str, seed: int, steps: int, mean: float, live: float | None) -> Point:
    return Point(
        shift=shift, arm=arm, seed=seed, robot_steps=steps, return_mean=mean, live_return_mean=live
    )


def _live(rows: list[EpisodeRow], after: int, until: int) -> float | None:
    returns = [row.episode_return for row in rows if after < row.robot_steps <= until]
    return sum(returns) / len(returns) if returns else None


def _robot(options: argparse.Namespace, shift: str, seed: int) -> SimulatedRobot:
    changes = dict(item.split("=") for item in shift.split(","))
    values = {
        name: int(value) if name == "command_delay_steps" else float(value)
        for name, value in changes.items()
    }
    return SimulatedRobot(
        task=OnnxPolicy.load(options.run / "policy.onnx").task.name,
        perturbation=Perturbation(**values),  # type: ignore[arg-type]
        real_time_factor=options.real_time_factor,
        seed=seed,
    )


def _learner(options: argparse.Namespace, arm: str, folder: Path) -> tuple[str, ...]:
    recipe = yaml.safe_load((package_share() / "config" / "fine_tuning.yaml").read_text())
    if arm != "ours":
        recipe |= NAIVE
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    source = (
        "from_scratch:=true"
        if arm == "from_scratch"
        else f"checkpoint:={options.run / 'checkpoint'}"
    )
    return (
        source,
        f"config:={path}",
        f"prior:={str(arm == 'ours').lower()}",
        "keep_policies:=1000",
        "niceness:=0",
    )


def _write_table(path: Path, points: list[Point]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Point.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(point) for point in points)


def _plot(path: Path, points: list[Point]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shifts = sorted({point.shift for point in points})
    if not shifts:
        return
    figure, grid = pyplot.subplots(
        1, len(shifts), figsize=(6.0 * len(shifts), 4.0), squeeze=False, layout="constrained"
    )
    colours = {"ours": "tab:green", "naive": "tab:orange", "from_scratch": "tab:gray"}
    for axes, shift in zip(grid[0], shifts, strict=True):
        for arm, colour in colours.items():
            runs = {p.seed for p in points if (p.shift, p.arm) == (shift, arm)}
            for seed in sorted(runs):
                curve = [p for p in points if (p.shift, p.arm, p.seed) == (shift, arm, seed)]
                label = arm if seed == min(runs) else None
                axes.plot(
                    [p.robot_steps for p in curve],
                    [p.return_mean for p in curve],
                    "o-",
                    color=colour,
                    label=label,
                )
        for point in points:
            if (point.shift, point.arm) == (shift, "ceiling"):
                axes.axhline(point.return_mean, color="tab:blue", ls="--", label="ceiling")
        axes.set(title=shift, xlabel="robot steps", ylabel="return, most likely actions")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
