"""`sac-ros bag-to-buffer`: convert recorded bags to transitions for the learner."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from sac_ros.bags.bag_task import task_from_options
from sac_ros.bags.comparison import TOLERANCE
from sac_ros.bags.conversion import ConversionSettings, Summary, convert, open_output, task_of_bags
from sac_ros.errors import InputError

EXPLANATION = """A bag must contain the task's sensor topics and its command topic, recorded by
bag_recorder or `ros2 bag record`; the commands may come from any node. Each command is a control
step; reward and termination are computed by the task's rules. If the bag contains the policy node's
~/transitions, they show which sensor messages each step acted on, and they are compared with the
result.

exit status: 0; 1 with --verify if anything differs from what the node published; 2 wrong usage, or
a bag that cannot be used."""


class _Parser(argparse.ArgumentParser):
    """Reports errors in one line, like all commands of sac-ros."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(
            f"bag-to-buffer: {message}; sac-ros bag-to-buffer --help lists every option"
        )


def main(argv: Sequence[str]) -> int:
    """Convert, print, and return the exit status."""
    options = _parse(argv)
    settings = ConversionSettings(
        namespace=options.namespace,
        policy_node=options.policy_node,
        remaps=tuple(options.remap),
        sampling=options.sampling,
        run=options.run,
        reward=options.reward,
        is_demonstration=options.demonstrations,
    )
    task = task_of_bags(options.bag, task_from_options(options.policy, options.task), settings)
    with open_output(options.out, task, appends=options.append) as keep:
        summary = convert(options.bag, task, settings, keep, _show_progress)
    if options.json:
        print(json.dumps(asdict(summary), indent=2))
    else:
        _print(summary, options.out)
    return _verdict(summary) if options.verify else 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which the documentation lists too."""
    parser = _Parser(
        prog="sac-ros bag-to-buffer",
        description="Convert recorded bags to transitions, which a learner can start from.",
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bag", type=Path, nargs="+", help="rosbag2 folder, or .mcap file")
    parser.add_argument("--out", type=Path, help="folder to write the transitions to")
    parser.add_argument(
        "--append", action="store_true", help="append to the transitions that are already in OUT"
    )
    parser.add_argument(
        "--demonstrations",
        action="store_true",
        help="mark every step as a demonstration by a person",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="fail if anything differs from what the node published; --out is then optional",
    )
    parser.add_argument(
        "--task", default="", help="task name or .yaml (default: the one in the bag's contract)"
    )
    parser.add_argument("--policy", type=Path, help="policy file (.onnx), for its task")
    parser.add_argument(
        "--reward",
        choices=["task", "sent"],
        default="task",
        help="compute rewards by the task, or use those that the node sent (default: %(default)s)",
    )
    parser.add_argument(
        "--run",
        choices=["episodes", "continuous"],
        help="episodes: the task's time limit truncates episodes; continuous: it does not"
        " (default: derived from the node's transitions, otherwise episodes)",
    )
    parser.add_argument(
        "--sampling",
        choices=["stamps", "arrival"],
        help="select sensor messages by the stamps in the node's transitions, or by arrival time"
        " (default: stamps if there are any)",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot's topics")
    parser.add_argument(
        "--policy-node",
        default="policy_node",
        help="name of the policy node (default: %(default)s)",
    )
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="FROM:=TO",
        help="name in the bag (TO) of a topic of the task (FROM); can be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    options = make_parser().parse_args(argv)
    if options.out is None and not options.verify:
        raise InputError("bag-to-buffer: give --out FOLDER for the transitions, or --verify")
    return options


def _show_progress(bag: Path, share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{bag}: {min(share, 1.0):4.0%}", end="\r", file=sys.stderr)


def _print(summary: Summary, out: Path | None) -> None:
    print(
        f"task {summary.task!r}, {len(summary.sampling)} bag(s) of {summary.duration_s:.1f} s:"
        f" {summary.commands} commands"
    )
    for bag in summary.cut_off_bags:
        print(f"{bag} is incomplete, because its recorder was killed; the readable part is used")
    print(
        f"{summary.transitions} transitions in {summary.episodes} episodes"
        f" ({summary.terminated} terminated, {summary.truncated} cut short)"
        f"{f' -> {out}' if out else ''}"
    )
    for reason, count in sorted(summary.left_out.items(), key=lambda item: -item[1]):
        print(f"left out: {count} {reason}")
    for count, what in (
        (summary.refused_sensor_messages, "sensor messages are inconsistent or too late"),
        (summary.unreadable_transitions, "messages of the node are not transitions of this task"),
    ):
        if count:
            print(f"not used: {count} {what}")
    if summary.sent:
        print(_agreement(summary))


def _agreement(summary: Summary) -> str:
    comparison = summary.comparison
    parts = [f"{comparison.num_exact} bitwise equal"]
    if comparison.num_close:
        parts.append(f"{comparison.num_close} within {TOLERANCE:g}")
    if comparison.num_different:
        ways = " and ".join(sorted(set(summary.sampling.values())))
        parts.append(f"{comparison.num_different} differ: {comparison.explain(ways)}")
    if summary.not_computed:
        parts.append(f'{summary.not_computed} could not be computed; see "left out" above')
    return f"of {summary.sent} transitions that the node published: {'; '.join(parts)}"


def _verdict(summary: Summary) -> int:
    """Return the exit status of --verify."""
    if summary.sent == 0:
        raise InputError(
            "--verify needs transitions of a policy node, but the bags have none; record"
            " ~/transitions, or check --policy-node and --namespace"
        )
    return int(summary.comparison.num_different > 0 or summary.not_computed > 0)
