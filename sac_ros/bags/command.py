"""`sac-ros bag-to-buffer`: recorded runs to what the learner reads."""

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

EXPLANATION = """A bag holds the task's sensor topics and its command topic, as bag_recorder or
`ros2 bag record` write them; whose commands they are does not matter. Each command is a control
step, whose reward and end are worked out by the task's own rules. Where the policy node's
~/transitions are in the bag, they tell which sensor messages each step acted on, and are compared
with the result.

exit status: 0; 1 with --verify if anything differs from what the node sent; 2 wrong usage or a bag
that cannot be used."""


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as all of sac-ros does."""

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
        description="Turn bags of a robot at work into transitions that a learner starts from.",
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bag", type=Path, nargs="+", help="rosbag2 folder, or .mcap file")
    parser.add_argument("--out", type=Path, help="folder to write the transitions to")
    parser.add_argument(
        "--append", action="store_true", help="add to the transitions that OUT holds already"
    )
    parser.add_argument(
        "--demonstrations",
        action="store_true",
        help="mark every step as a person's, to be learned from as such",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="fail if anything differs from what the node sent; --out may be left out",
    )
    parser.add_argument(
        "--task", default="", help="task name or .yaml (default: the one in the bag's contract)"
    )
    parser.add_argument("--policy", type=Path, help="policy file (.onnx), for its task")
    parser.add_argument(
        "--reward",
        choices=["task", "sent"],
        default="task",
        help="by the task's terms, or as the node sent it (default: %(default)s)",
    )
    parser.add_argument(
        "--run",
        choices=["episodes", "continuous"],
        help="whether the task's time limit cut episodes short (default: as the node's transitions"
        " tell, else episodes)",
    )
    parser.add_argument(
        "--sampling",
        choices=["stamps", "arrival"],
        help="take the sensor messages that the node named, or those that had arrived (default:"
        " stamps where there are any)",
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot's topics")
    parser.add_argument(
        "--policy-node", default="policy_node", help="name of the node (default: %(default)s)"
    )
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="FROM:=TO",
        help="where a topic of the task is in the bag; may be given several times",
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
        print(f"{bag} breaks off: its recorder was killed; what it had written out is used")
    print(
        f"{summary.transitions} transitions in {summary.episodes} episodes"
        f" ({summary.terminated} terminated, {summary.truncated} cut short)"
        f"{f' -> {out}' if out else ''}"
    )
    for reason, count in sorted(summary.left_out.items(), key=lambda item: -item[1]):
        print(f"left out: {count} {reason}")
    for count, what in (
        (summary.refused_sensor_messages, "sensor messages contradict themselves or come late"),
        (summary.unreadable_transitions, "messages of the node are no transitions of this task"),
    ):
        if count:
            print(f"not used: {count} {what}")
    if summary.sent:
        print(_agreement(summary))


def _agreement(summary: Summary) -> str:
    comparison = summary.comparison
    parts = [f"{comparison.num_exact} equal in every bit"]
    if comparison.num_close:
        parts.append(f"{comparison.num_close} within {TOLERANCE:g}")
    if comparison.num_different:
        ways = " and ".join(sorted(set(summary.sampling.values())))
        parts.append(f"{comparison.num_different} differ: {comparison.explain(ways)}")
    if summary.not_computed:
        parts.append(f"{summary.not_computed} could not be computed, see what was left out")
    return f"of {summary.sent} transitions that the node sent: {'; '.join(parts)}"


def _verdict(summary: Summary) -> int:
    """Return the exit status of --verify."""
    if summary.sent == 0:
        raise InputError("--verify: the bags hold nothing that a policy node sent")
    return int(summary.comparison.num_different > 0 or summary.not_computed > 0)
