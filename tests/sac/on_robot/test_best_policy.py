"""The policy that earned most is kept, whatever is learned after it."""

from pathlib import Path

import pytest

from sac_ros.sac.on_robot.best_policy import BestPolicy
from sac_ros.sac.on_robot.episodes_file import EpisodeRow


class Robot:
    """Runs a policy of its own in each episode; of the oldest the files are gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policies = folder / "policies"
        self.policies.mkdir()
        self.best = BestPolicy(folder, self.policies)

    def earn(self, policy: int, *returns: float) -> None:
        if policy > 0:
            (self.policies / f"{policy:08d}.onnx").write_text(f"policy {policy}")
        for episode_return in returns:
            self.best.add(
                EpisodeRow(
                    robot_steps=1,
                    episode=1,
                    policy=policy,
                    episode_return=episode_return,
                    length=1,
                    ending="terminated",
                    num_interventions=0,
                )
            )

    @property
    def kept(self) -> str | None:
        path = self.best.policy_file
        return path.read_text() if path.exists() else None


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return Robot(tmp_path)


def test_best_of_the_policies_stays_when_later_ones_are_worse(robot: Robot) -> None:
    robot.earn(0, 1.0, 1.0, 1.0)
    robot.earn(1, 5.0, 5.0, 5.0)
    robot.earn(2, 3.0, 3.0, 3.0)
    assert robot.kept == "policy 1" and robot.best.median_return == 5.0


def test_one_lucky_episode_is_not_enough(robot: Robot) -> None:
    robot.earn(1, 5.0, 5.0, 5.0)
    robot.earn(2, 2.0, 100.0, 2.0)
    assert robot.kept == "policy 1"


def test_of_three_policies_in_a_row_the_middle_one_is_kept(robot: Robot) -> None:
    robot.earn(1, 4.0)
    robot.earn(2, 100.0)
    robot.earn(3, 7.0)
    assert robot.kept == "policy 3"


def test_nothing_is_kept_while_nothing_is_better_than_what_came(robot: Robot) -> None:
    robot.earn(0, 9.0, 9.0, 9.0)
    robot.earn(1, 5.0, 5.0, 5.0)
    assert robot.kept is None and robot.best.version is None
    robot.earn(2, 10.0, 10.0)
    assert robot.kept == "policy 2"


def test_next_process_keeps_what_the_last_one_kept_unless_it_is_beaten(robot: Robot) -> None:
    robot.earn(7, 5.0, 5.0, 5.0)
    robot.best = BestPolicy(robot.folder, robot.policies)
    assert robot.best.version == 7
    robot.earn(8, 4.0, 4.0, 4.0)
    assert robot.kept == "policy 7"
    robot.earn(9, 6.0, 6.0)
    assert robot.kept == "policy 9"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("num_restarts", [1, 2])
def test_next_process_knows_the_return_to_beat_whichever_policy_had_it(
    robot: Robot, order: tuple[int, int], num_restarts: int
) -> None:
    returns = {0: (1000.0,) * 3, 1: (300.0,) * 3}
    for policy in order:
        robot.earn(policy, *returns[policy])
    for _ in range(num_restarts):
        robot.best = BestPolicy(robot.folder, robot.policies)
        robot.earn(2, 400.0, 400.0, 400.0)
    assert robot.kept == (None if order == (0, 1) else "policy 1")
    robot.earn(3, 1100.0, 1100.0)
    assert robot.kept == "policy 3"


def test_episodes_before_and_after_a_restart_are_compared_together(robot: Robot) -> None:
    robot.earn(1, 5.0, 5.0)
    robot.best = BestPolicy(robot.folder, robot.policies)
    robot.earn(1, 5.0)
    assert robot.kept == "policy 1" and robot.best.median_return == 5.0


def test_copy_that_a_kill_prevented_is_made_by_the_next_process(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot.earn(1, 5.0, 5.0, 5.0)
    robot.earn(2, 9.0)
    with monkeypatch.context() as patch:
        patch.setattr(BestPolicy, "_copy", lambda best, source: None)
        robot.earn(2, 9.0)
    assert robot.kept == "policy 1"
    robot.best = BestPolicy(robot.folder, robot.policies)
    assert robot.kept == "policy 2" and robot.best.version == 2


@pytest.mark.parametrize(
    "summary", ["", "[]", '{"version": 7}', '{"version": 7, "median_return": NaN}']
)
def test_damaged_summary_of_a_release_without_a_ledger_is_left_out(
    robot: Robot, summary: str
) -> None:
    (robot.folder / "best_policy.json").write_text(summary)
    robot.best = BestPolicy(robot.folder, robot.policies)
    robot.earn(8, 1.0, 1.0, 1.0)
    assert robot.kept == "policy 8"


def test_summary_of_a_release_without_a_ledger_is_taken_over(robot: Robot) -> None:
    robot.best.policy_file.write_text("policy 7")
    (robot.folder / "best_policy.json").write_text('{"version": 7, "median_return": 5.0}')
    robot.best = BestPolicy(robot.folder, robot.policies)
    robot.earn(8, 4.0, 4.0, 4.0)
    assert robot.kept == "policy 7" and robot.best.version == 7


def test_policy_whose_file_is_gone_leaves_the_one_before(robot: Robot) -> None:
    robot.earn(1, 5.0, 5.0, 5.0)
    robot.earn(2, 9.0)
    (robot.policies / "00000002.onnx").unlink()
    robot.earn(0, 9.0, 9.0)
    assert robot.kept == "policy 1"
