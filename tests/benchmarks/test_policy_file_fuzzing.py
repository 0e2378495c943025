"""A short form of benchmarks.faults.policy_file_fuzzing: no changed file loads, none crashes."""

from pathlib import Path

import numpy as np
import pytest
from linear_policy import write_linear_policy

from benchmarks.faults.policy_file_fuzzing import forge, judge_batch, mutate, verdict
from sac_ros.policy.contract import DIGEST_KEY, DIGEST_PLACEHOLDER, seal
from sac_ros.policy.onnx_file import metadata_spans
from sac_ros.task.task_spec import load_task


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_linear_policy(tmp_path / "policy.onnx", load_task("inverted_pendulum"))


def test_the_unchanged_file_loads(policy: Path) -> None:
    assert verdict(policy.read_bytes()) == "loaded"


def test_no_damaged_file_loads_or_crashes_the_loader(policy: Path) -> None:
    counts = judge_batch(policy, False, 0, range(5000))
    assert counts.pop("refused") > 4900
    assert set(counts) <= {"unchanged"}, counts


def test_forged_file_is_refused_or_computes_what_its_golden_pairs_say(policy: Path) -> None:
    counts = judge_batch(policy, True, 0, range(400))
    assert counts["refused"] > 200
    assert set(counts) <= {"refused", "unchanged", "loaded"}, counts


@pytest.mark.parametrize("name", [b"MatMul", b"Add"])
def test_forged_name_that_is_no_text_is_refused(policy: Path, name: bytes) -> None:
    content = policy.read_bytes()
    span = metadata_spans(content)[DIGEST_KEY]
    blank = content[: span.start] + DIGEST_PLACEHOLDER.encode() + content[span.end :]
    assert name in blank
    assert verdict(seal(blank.replace(name, b"\xff" + name[1:]))) == "refused"


def test_changes_reach_every_part_of_the_file(policy: Path) -> None:
    content = policy.read_bytes()
    places = set()
    for n in range(2000):
        changed = np.frombuffer(mutate(content, np.random.default_rng(n)), np.uint8)
        if len(changed) == len(content):
            differs = np.flatnonzero(changed != np.frombuffer(content, np.uint8))
            places |= {int(10 * at / len(content)) for at in differs}
    assert places == set(range(10))
    assert forge(content, np.random.default_rng(1)) != content
