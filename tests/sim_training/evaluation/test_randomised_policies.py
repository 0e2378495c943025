"""Policies that were trained on many robots lose less on another one than those trained on one.

tests/trained_policies/ARM_SEED.onnx, two seeds an arm and nothing else different, were made by

    sac-ros train --task inverted_pendulum --config config/inverted_pendulum_demo.yaml
        --steps 10000 --seed SEED --eval-every 1000 --threads 1
        [--randomize config/randomization.yaml]

docs/results has their returns on more robots, also on those where randomising did not help.
"""

import pytest
from source_tree import ROOT

from sac_ros.policy.onnx_policy import OnnxPolicy
from sim_training.evaluation.policy_evaluation import run_policy
from sim_training.robot.perturbation import NOMINAL, Perturbation

BEST_RETURN = 1000.0
DELAYED = Perturbation(command_delay_s=0.04)
"""Twice the delay that the ranges of the training end at."""
ROBOTS = (DELAYED, Perturbation(command_delay_s=0.04, actuator_gain=0.7))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gymnasium")


def mean_return(name: str, robot: Perturbation) -> float:
    policy = OnnxPolicy.load(ROOT / "tests" / "trained_policies" / f"{name}.onnx")
    episodes = run_policy(
        policy, policy.mode, num_episodes=3, seed=11, video=None, perturbation=robot
    )
    return sum(episode.episode_return for episode in episodes) / len(episodes)


@pytest.mark.parametrize("seed", [1, 2])
def test_both_arms_have_learned_the_robot_of_the_model(seed: int) -> None:
    assert mean_return(f"plain_{seed}", NOMINAL) == BEST_RETURN
    assert mean_return(f"randomised_{seed}", NOMINAL) == BEST_RETURN


@pytest.mark.parametrize("robot", ROBOTS, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_randomised_policy_loses_less_than_the_plain_one_of_its_seed(
    seed: int, robot: Perturbation
) -> None:
    loss_plain = BEST_RETURN - mean_return(f"plain_{seed}", robot)
    loss_randomised = BEST_RETURN - mean_return(f"randomised_{seed}", robot)
    # 4 to 9 of 1000 against 1000 of 1000 as measured; half of it leaves room for other libraries.
    assert loss_randomised < 0.5 * loss_plain
