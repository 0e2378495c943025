"""Feed damaged messages to every subscriber: none may crash it, and none may be used.

Each message is serialised as for DDS, changed in its bytes or fields, read back by the deserialiser
of ROS 2, and given to the code of the nodes. This happens in separate processes, so that a crash is
counted and the test continues. Then random bytes are sent over real DDS to a policy node, whose
commands are judged, and to a learner, which must continue to learn.
"""

import json
import math
import shlex
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults.judged_batches import judge_in_batches
from benchmarks.faults.message_fuzzers import BATCH_KINDS, judge_batch
from benchmarks.machine import describe_machine
from sac_ros.errors import InputError
from sim_training.terminal.options import parse_options

CLEAN = {"unreadable", "refused", "accepted", "unchanged"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    messages: int = 100_000
    """Damaged messages, over all kinds together."""
    dds_seconds: float = 60.0
    """How long garbage is sent over DDS to a policy node, and then to a learner; 0 for neither."""
    seed: int = 0
    """Of the changes."""
    out: Path = Path("runs/message_fuzzing")
    """Folder for summary.json."""

    def __post_init__(self) -> None:
        """Reject negative numbers."""
        if self.messages < 1 or self.seed < 0 or self.dds_seconds < 0.0:
            raise ValueError("messages must be positive, seed and dds_seconds not negative")


def main() -> int:
    """Run, write the counts, and return 1 after a crash or the use of a damaged message."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="message_fuzzing.py",
            description="Feed damaged messages to everything that listens.",
        )
        options.out.mkdir(parents=True, exist_ok=True)
        began_s = time.monotonic()
        each = -(-options.messages // len(BATCH_KINDS))
        counts = {
            kind: dict(judge_in_batches(partial(judge_batch, kind, options.seed), each))
            for kind in BATCH_KINDS
        }
        over_dds, to_learner = {}, {}
        if options.dds_seconds:
            from benchmarks.faults.garbage_over_dds import send_garbage
            from benchmarks.faults.garbage_to_learner import send_garbage_to_learner

            with tempfile.TemporaryDirectory() as folder:
                result = send_garbage(Path(folder), options.dds_seconds, options.seed)
                over_dds = asdict(result)
            with tempfile.TemporaryDirectory() as folder:
                learned = send_garbage_to_learner(Path(folder), options.dds_seconds, options.seed)
                to_learner = asdict(learned)
    except (InputError, OSError) as error:
        print(f"message_fuzzing.py: {error}", file=sys.stderr)
        return 2
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": asdict(describe_machine(("rclpy", "numpy", "onnxruntime"))),
        "wall_s": round(time.monotonic() - began_s, 1),
        "messages": sum(sum(verdicts.values()) for verdicts in counts.values()),
        "kinds": counts,
        "over_dds": over_dds,
        "to_learner": to_learner,
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for kind, verdicts in counts.items():
        print(f"{kind}: {verdicts}")
    print(f"over DDS: {over_dds}; to a learner: {to_learner}; wrote {options.out}/summary.json")
    is_clean = all(set(verdicts) <= CLEAN for verdicts in counts.values())
    is_well = not over_dds or (over_dds["is_alive"] and not over_dds["unsafe_commands"])
    goes_on = not to_learner or (
        to_learner["is_alive"] and all(map(math.isfinite, to_learner["losses"].values()))
    )
    return 0 if is_clean and is_well and goes_on else 1


if __name__ == "__main__":
    sys.exit(main())
