"""A short form of the fault campaign; docs/results has the long one's table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_process import run_benchmark

from benchmarks.faults.command_judge import CommandJudge, Verdicts
from sac_ros.task.task_spec import load_task


def campaign(out: Path, *options: str) -> dict[str, Any]:
    """Run it and return its summary."""
    run_benchmark("benchmarks.faults.fault_injection", *options, "--out", str(out))
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


@pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium")
@pytest.mark.parametrize(
    "ticks", [5000, pytest.param(30_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
def test_no_fault_makes_the_node_command_anything_unsafe_or_react_late(
    tmp_path: Path, ticks: int
) -> None:
    summary = campaign(tmp_path, "--ticks", str(ticks), "--seed", "7", "--process-rounds", "0")
    assert summary["fault_kinds"] >= 30 and summary["ticks"] >= ticks
    assert summary["unsafe_commands"] == 0 and summary["late_reactions"] == 0
    assert summary["not_recovered"] == 0
    for kind in summary["kinds"]:
        is_owed = kind["bound_ms"] is not None
        assert not is_owed or kind["reaction_max_ms"] <= kind["bound_ms"] + 1e-6, kind["kind"]


@pytest.mark.ros
@pytest.mark.long
@pytest.mark.timeout(900)
def test_real_processes_come_to_no_harm_and_come_back(tmp_path: Path) -> None:
    summary = campaign(tmp_path, "--ticks", "1", "--seed", "7", "--process-rounds", "1")
    kinds = [kind for kind in summary["kinds"] if kind["made_in"] == "processes"]
    assert len(kinds) >= 10
    for kind in kinds:
        # How soon depends on this machine's other work; that it reacts, and returns, does not.
        assert set(filter(None, kind["reasons"].split("; "))) <= {
            reason for reason in kind["reasons"].split("; ") if "in spite of the fault" in reason
        }, kind
        assert kind["bound_ms"] is None or kind["reaction_max_ms"] is not None, kind
        assert kind["not_recovered"] == 0, kind


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ([[0.0, np.nan]], "not finite"),
        ([[2.6, 0.0]], "outside of the limits"),
        ([[0.0, 0.0], [0.13, 0.0]], "changes faster than the rate limit"),
    ],
)
def test_judge_finds_what_is_unsafe(commands: list[list[float]], reason: str) -> None:
    verdicts = Verdicts()
    judge = CommandJudge(load_task("two_joint_arm"), verdicts)
    for command in commands:
        judge.judge(np.array(command))
    assert verdicts.reasons == {reason: 1}


def test_judge_allows_only_the_reaction_once_it_is_owed() -> None:
    verdicts = Verdicts()
    judge = CommandJudge(load_task("two_joint_arm"), verdicts)
    judge.judge(np.array([0.5, -0.5]))
    # 5 rad in 3 s, or 0.0333 rad in a period of 0.02 s, towards zero.
    assert judge.judge(np.array([0.5 - 0.1 / 3.0, -0.5 + 0.1 / 3.0]), "owed")
    assert verdicts.num_unsafe == 0
    assert not judge.judge(np.array([0.5 - 0.1 / 3.0, -0.5 + 0.1 / 3.0]), "owed")
    assert verdicts.reasons == {"owed": 1}
