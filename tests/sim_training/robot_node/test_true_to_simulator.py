"""With the shipped policy in the loop over DDS, the MuJoCo robot earns what Gymnasium does."""

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from ros_processes import NodeProcess

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.task.package_share import package_share
from sim_training.evaluation.policy_evaluation import evaluate_policy

pytestmark = [pytest.mark.ros, pytest.mark.long]

RETURN_TOLERANCE = 0.1  # of the return in Gymnasium


def test_half_cheetah_earns_over_ros_what_it_earns_in_gymnasium(tmp_path: Path) -> None:
    path = package_share() / "policies" / "half_cheetah.onnx"
    policy = OnnxPolicy.load(path)
    in_gymnasium = evaluate_policy(policy, num_episodes=5, seed=0)
    expected = sum(in_gymnasium) / len(in_gymnasium)
    summary = tmp_path / "summary.json"
    with (
        NodeProcess(
            "episode_recorder",
            "episodes:=2",
            f"output:={summary}",
            "timeout_s:=15.0",
            log=tmp_path / "recorder.log",
        ) as recorder,
        NodeProcess(
            "sim_robot_node",
            "task:=half_cheetah",
            # A physics step takes 5 ms of real time, in which the command must arrive.
            "real_time_factor:=2.0",
            log=tmp_path / "robot.log",
        ),
        NodeProcess(
            "policy_node",
            f"policy:={path}",
            "task:=half_cheetah",
            "act_on:=observation",
            "run:=episodes",
            "use_sim_time:=true",
            "max_age_s:=1.0",  # a pause of this machine is no fault of a sensor
            "autostart:=true",
            log=tmp_path / "policy.log",
        ),
    ):
        assert recorder.wait(240.0) == 0
    measured = json.loads(summary.read_text())
    assert measured["lost_transitions"] == 0
    assert measured["episode_lengths"] == [1000, 1000]
    # A pause of this machine only ever costs.
    assert max(measured["returns_over_ros"]) == pytest.approx(expected, rel=RETURN_TOLERANCE)
