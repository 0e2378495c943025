"""`sac-ros doctor`: look at a robot before the policy moves it."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from sac_ros.bags.topic_name import parse_remaps
from sac_ros.doctor.examination import examine_policy, examine_robot
from sac_ros.doctor.finding import Finding
from sac_ros.doctor.recording import Recording
from sac_ros.errors import InputError
from sac_ros.task.task_spec import TaskSpec, load_task

SIGNS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}
EXPLANATION = """exit status: 0 nothing wrong, 1 something was found, 2 wrong usage.
Nothing is commanded. To see sign and order of joints, move them: by hand, or by another
controller."""


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as all of sac-ros does."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"doctor: {message}; sac-ros doctor --help lists every option")


def main(argv: Sequence[str]) -> int:
    """Examine, print, and return the exit status."""
    options = _parse(argv)
    if not options.policy.is_file():
        raise InputError(f"no policy at {options.policy}; give the path of an exported .onnx")
    task = load_task(options.task) if options.task else None
    policy, verdict = examine_policy(options.policy, task)
    findings, source = [verdict], "the policy file only"
    if policy is not None:
        task = task or policy.task
        recording = _record(task, options)
        findings += examine_robot(policy, task, recording)
        source = recording.source
    is_healthy = all(finding.level == "ok" for finding in findings)
    if options.json:
        report = {"healthy": is_healthy, "source": source, "findings": list(map(asdict, findings))}
        print(json.dumps(report, indent=2))
    else:
        _print(findings, source)
    return 0 if is_healthy else 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, which the documentation lists too."""
    parser = _Parser(
        prog="sac-ros doctor",
        description="Look at a robot, on live topics or in a bag, before a policy moves it.",
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("policy", type=Path, help="exported policy (.onnx)")
    parser.add_argument(
        "--task", default="", help="task name or .yaml to run it with (default: the policy's own)"
    )
    parser.add_argument(
        "--bag", type=Path, help="read this bag (folder or .mcap) instead of live topics"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long to listen (default: %(default)s)"
    )
    parser.add_argument("--namespace", default="", help="namespace of the robot's topics")
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="FROM:=TO",
        help="where a topic of the task is; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    options = make_parser().parse_args(argv)
    if not 0.5 <= options.seconds <= 3600.0:
        raise InputError(f"doctor: --seconds is {options.seconds}, expected 0.5 to 3600")
    options.remap = parse_remaps(options.remap)
    return options


def _record(task: TaskSpec, options: argparse.Namespace) -> Recording:
    # Only one of the two is needed, and each needs what the other does not.
    if options.bag is not None:
        from sac_ros.doctor.bag_source import read_bag

        return read_bag(task, options.bag, options.namespace, options.remap)
    from sac_ros.doctor.live_source import listen

    print(f"listening for {options.seconds:g} s ...", file=sys.stderr)
    return listen(task, options.seconds, options.namespace, options.remap)


def _print(findings: list[Finding], source: str) -> None:
    print(f"examined: {source}")
    for finding in findings:
        print(f"{SIGNS[finding.level]}  {finding.check}, {finding.subject}: {finding.found}")
        if finding.advice:
            print(f"         -> {finding.advice}")
    num_bad = sum(finding.level != "ok" for finding in findings)
    print(f"{num_bad} finding(s)" if num_bad else "nothing wrong was found")
