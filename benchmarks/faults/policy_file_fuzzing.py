"""Feed damaged and forged policy files to the loader: it must reject them, and never crash.

Damaged: some bytes are changed; none may load. Forged: changed, then given a matching digest; a
file that loads must reproduce its golden pairs. The loader runs in separate processes, so that a
crash is counted and the test continues.
"""

import json
import shlex
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.faults.judged_batches import judge_in_batches
from benchmarks.machine import describe_machine
from sac_ros.errors import InputError
from sac_ros.policy.contract import DIGEST_KEY, DIGEST_PLACEHOLDER, seal
from sac_ros.policy.onnx_file import PolicyFileError, metadata_spans
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sim_training.terminal.options import parse_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Command-line options."""

    files: int = 100_000
    """Damaged files."""
    forged: int = 5_000
    """Forged files; each goes all the way to onnxruntime."""
    seed: int = 0
    """Of the changes."""
    policy: Path = package_share() / "policies" / "half_cheetah.onnx"
    """The file to change."""
    out: Path = Path("runs/policy_file_fuzzing")
    """Folder for summary.json."""


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content changed in one of the ways in which files change."""
    data = bytearray(content)
    place, other = (int(at) for at in rng.integers(len(data), size=2))
    length = int(2 ** rng.uniform(0.0, 12.0))
    kind = rng.integers(8)
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place] = (data[place] + int(rng.integers(1, 256))) % 256
    elif kind == 2:
        del data[place : place + length]
    elif kind == 3:
        data[place:place] = rng.bytes(length)
    elif kind == 4:
        data[place : place + length] = rng.bytes(min(length, len(data) - place))
    elif kind == 5:
        del data[place:]
    elif kind == 6:
        data[place : place + length] = data[other : other + length]
    else:
        # A length or a number of protobuf that says too much.
        data[place : place + 5] = b"\xff\xff\xff\xff\x0f"
    return bytes(data)


def forge(content: bytes, rng: np.random.Generator) -> bytes:
    """Return changed content with a digest that fits, where that can still be written."""
    changed = mutate(content, rng)
    try:
        span = metadata_spans(changed)[DIGEST_KEY]
        blank = changed[: span.start] + DIGEST_PLACEHOLDER.encode() + changed[span.end :]
        return seal(blank)
    except (PolicyFileError, KeyError, ValueError):
        return changed


def verdict(content: bytes) -> str:
    """Return what the loader makes of it: `refused`, `loaded`, or the error it should not raise."""
    try:
        OnnxPolicy.from_bytes(content)
    except InputError:
        return "refused"
    except Exception as error:
        return f"raised {type(error).__name__}"
    return "loaded"


def judge_batch(path: Path, is_forged: bool, seed: int, numbers: range) -> dict[str, int]:
    """Return how often each verdict was given on the file, changed in as many ways."""
    content = path.read_bytes()
    change = forge if is_forged else mutate
    counts: Counter[str] = Counter()
    for number in numbers:
        changed = change(content, np.random.default_rng((seed, int(is_forged), number)))
        counts["unchanged" if changed == content else verdict(changed)] += 1
    return dict(counts)


def main() -> int:
    """Run, write the counts, and return 1 if a damaged file was not rejected."""
    try:
        options = parse_options(
            Options,
            sys.argv[1:],
            prog="policy_file_fuzzing.py",
            description="Feed damaged and forged policy files to the loader.",
        )
        options.out.mkdir(parents=True, exist_ok=True)
        began_s = time.monotonic()
        damaged, forged = (
            judge_in_batches(partial(judge_batch, options.policy, is_forged, options.seed), number)
            for is_forged, number in ((False, options.files), (True, options.forged))
        )
    except (InputError, OSError) as error:
        print(f"policy_file_fuzzing.py: {error}", file=sys.stderr)
        return 2
    summary = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": asdict(describe_machine(("onnxruntime", "numpy"))),
        "wall_s": round(time.monotonic() - began_s, 1),
        "damaged": dict(damaged),
        "forged": dict(forged),
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"damaged: {dict(damaged)}; forged: {dict(forged)}")
    is_clean = set(damaged) <= {"refused", "unchanged"} and set(forged) <= {
        "refused",
        "unchanged",
        "loaded",
    }
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
