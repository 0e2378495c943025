"""When a policy is given up, and which one comes back."""

import pytest
from linear_policy import linear_policy

from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.policy.updates.policy_status import PolicyStatus
from sac_ros.policy.updates.policy_update import PolicyUpdateError, UpdateHeader
from sac_ros.policy.updates.policy_versions import PolicyVersions, Successor
from sac_ros.policy.updates.return_guard import GuardSettings, ReturnGuard
from sac_ros.task.episode_counter import Episode
from sac_ros.task.task_spec import load_task

POLICY = OnnxPolicy.from_bytes(linear_policy(load_task("inverted_pendulum")))
SETTINGS = GuardSettings(baseline_episodes=2, window=3, max_drop=0.2)


def guard_with_baseline(*returns: float) -> ReturnGuard:
    guard = ReturnGuard(GuardSettings(baseline_episodes=len(returns), window=3, max_drop=0.2))
    for episode_return in returns:
        guard.add_baseline(episode_return)
    return guard


def test_baseline_is_complete_before_anything_is_judged() -> None:
    guard = ReturnGuard(SETTINGS)
    guard.add_baseline(90.0)
    assert not guard.is_ready and guard.bound is None
    guard.add_baseline(110.0)
    assert guard.is_ready and guard.baseline == 100.0


@pytest.mark.parametrize("baseline", [100.0, -100.0])
def test_bound_lies_below_the_baseline_whatever_its_sign(baseline: float) -> None:
    assert guard_with_baseline(baseline, baseline).bound == baseline - 20.0


def test_bound_of_a_noisy_baseline_is_two_standard_deviations_wide() -> None:
    guard = guard_with_baseline(60.0, 100.0, 140.0)
    assert guard.bound == pytest.approx(100.0 - 2.0 * 40.0)


@pytest.mark.parametrize("episode_return", [75.0, -1e6])
def test_loss_is_borne_for_half_of_a_window_and_no_longer(episode_return: float) -> None:
    guard = guard_with_baseline(100.0, 100.0)
    assert [guard.is_broken_by(episode_return) for _ in range(2)] == [False, True]


def test_robot_that_slips_now_and_then_has_no_bad_policy() -> None:
    guard = guard_with_baseline(100.0, 100.0)
    assert not any(guard.is_broken_by(r) for r in (10.0, 110.0, 105.0) * 5)
    assert guard.rolling == 105.0 and guard.bound == 80.0


def test_window_of_one_bears_no_loss() -> None:
    guard = ReturnGuard(GuardSettings(baseline_episodes=1, window=1))
    guard.add_baseline(100.0)
    assert [guard.is_broken_by(r) for r in (81.0, 79.0)] == [False, True]


def test_loss_within_the_bound_is_borne_for_ever() -> None:
    guard = guard_with_baseline(100.0, 100.0)
    assert not any(guard.is_broken_by(85.0) for _ in range(20))


@pytest.mark.parametrize("baseline", [100.0, -100.0])
def test_what_was_won_and_lost_again_ends_no_learning_but_is_none_to_come_back_to(
    baseline: float,
) -> None:
    guard = guard_with_baseline(baseline, baseline)
    assert guard.is_good(baseline + 10.0)
    for _ in range(3):
        assert not guard.is_broken_by(baseline + 100.0)
    assert not any(guard.is_broken_by(baseline - 10.0) for _ in range(10))
    assert guard.bound == baseline - 20.0
    assert guard.is_good(baseline + 50.0) and not guard.is_good(baseline + 49.0)


def successor(version: int, num_rollbacks: int = 0) -> Successor:
    return Successor(
        version=version, policy=POLICY, select_action=POLICY.mode, num_rollbacks=num_rollbacks
    )


def header(version: int, num_rollbacks: int = 0) -> UpdateHeader:
    return UpdateHeader(
        version=version,
        num_rollbacks=num_rollbacks,
        robot_steps=0,
        task_fingerprint="",
        sha256="",
    )


def succession_with_baseline() -> PolicyVersions:
    succession = PolicyVersions(successor(0), SETTINGS)
    succession.end_episode(100.0)
    succession.end_episode(100.0)
    return succession


def test_no_policy_is_let_in_before_the_baseline_is_measured() -> None:
    succession = PolicyVersions(successor(0), SETTINGS)
    succession.offer(successor(1))
    assert not succession.swap()
    succession.end_episode(100.0)
    succession.end_episode(100.0)
    assert succession.swap() and succession.running.version == 1


def test_bad_policy_gives_way_to_the_last_one_that_was_good() -> None:
    succession = succession_with_baseline()
    for version, episode_return in ((1, 120.0), (2, 125.0), (3, 11.0), (4, 10.0)):
        succession.offer(successor(version))
        succession.swap()
        succession.end_episode(episode_return)
    status = succession.status()
    assert succession.running.version == 2 and status.is_rolled_back
    assert status.bad_versions == (3, 4) and status.num_rollbacks == 1
    assert "10.0" in status.reason


def test_policy_that_only_passed_a_low_bound_is_none_to_come_back_to() -> None:
    succession = PolicyVersions(successor(0), GuardSettings(baseline_episodes=2, window=3))
    for episode_return in (20.0, 50.0):  # returns that vary: the bound is below zero
        succession.end_episode(episode_return)
    for version, episode_return in ((1, 800.0), (2, 8.0), (3, 17.0), (4, -30.0), (5, -40.0)):
        succession.offer(successor(version))
        succession.swap()
        succession.end_episode(episode_return)
    assert succession.running.version == 1


def test_slow_decline_goes_back_to_before_it_began() -> None:
    succession = succession_with_baseline()
    for version, episode_return in ((1, 110.0), (2, 85.0), (3, 74.0), (4, 73.0)):
        succession.offer(successor(version))
        succession.swap()
        succession.end_episode(episode_return)
    assert succession.running.version == 1
    assert succession.status().bad_versions == (2, 3, 4)


def test_policy_that_was_good_and_is_not_any_more_gives_way_to_the_first() -> None:
    succession = succession_with_baseline()
    succession.offer(successor(1))
    succession.swap()
    for episode_return in (110.0, 5.0, 5.0):
        succession.end_episode(episode_return)
    assert succession.running.version == 0 and succession.status().bad_versions == (1,)


def test_policy_that_came_back_and_fails_too_gives_way_to_the_first() -> None:
    succession = succession_with_baseline()
    for version, episode_return in ((1, 110.0), (2, 5.0), (3, 5.0)):
        succession.offer(successor(version))
        succession.swap()
        succession.end_episode(episode_return)
    assert succession.running.version == 1  # good once, by one lucky episode
    for episode_return in (5.0, 5.0):
        succession.end_episode(episode_return)
    status = succession.status()
    assert succession.running.version == 0 and status.bad_versions == (1,)
    assert status.num_rollbacks == 2 and status.is_rolled_back


def test_what_waited_through_a_rollback_never_runs() -> None:
    succession = succession_with_baseline()
    succession.offer(successor(1))
    succession.swap()
    succession.offer(successor(2))
    succession.end_episode(5.0)
    succession.end_episode(5.0)
    assert not succession.swap() and succession.running.version == 0


def test_learner_that_missed_the_rollback_is_refused_until_it_knows() -> None:
    succession = succession_with_baseline()
    succession.offer(successor(1))
    succession.swap()
    succession.end_episode(5.0)
    succession.end_episode(5.0)
    with pytest.raises(PolicyUpdateError, match="~/resume"):
        succession.refuse_unless_due(header(2, num_rollbacks=0))
    succession.refuse_unless_due(header(2, num_rollbacks=1))
    succession.offer(successor(2, num_rollbacks=1))
    assert succession.swap() and not succession.status().is_rolled_back


def episode(num_steps: int, reward: float, **parts: object) -> Episode:
    default = {"ending": "truncated", "num_interventions": 0, "is_of_one_policy": True}
    return Episode(
        episode=0,
        policy=0,
        episode_return=num_steps * reward,
        length=num_steps,
        **(default | parts),  # type: ignore[arg-type]
    )


def judged_with_baseline(length: int = 100, reward: float = 1.0) -> PolicyVersions:
    versions = PolicyVersions(successor(0), SETTINGS)
    for _ in range(2):
        versions.judge(episode(length, reward))
    return versions


HELPED = {"num_interventions": 2}
ABORTED = {"ending": "aborted"}


@pytest.mark.parametrize("parts", [HELPED, ABORTED, ABORTED | HELPED])
@pytest.mark.parametrize("reward", [-10.0, 1.0])
def test_no_policy_follows_one_that_was_never_judged(
    parts: dict[str, object], reward: float
) -> None:
    versions = judged_with_baseline()
    for version in range(1, 51):
        versions.offer(successor(version))
        num_judged = versions.status().num_episodes
        was_let_in = versions.swap()
        assert not was_let_in or version == 1 or num_judged > 2
        versions.judge(episode(5, reward, **parts))
    status = versions.status()
    if reward < 0.0 and parts == ABORTED:
        assert status.num_rollbacks == 1 and status.version == 0
    else:  # nothing can be said against it, or for it
        assert status.num_swaps == 1 and status.version == 1
        assert "version 1 without abort" in status.waits_for and "50 could" in status.waits_for


@pytest.mark.parametrize(("reward", "baseline"), [(-10.0, 1.0), (0.0, 1.0), (-3.0, -1.0)])
def test_aborts_at_a_worse_reward_per_step_than_the_bounds_bring_the_good_policy_back(
    reward: float, baseline: float
) -> None:
    versions = judged_with_baseline(reward=baseline)
    versions.offer(successor(1))
    assert versions.swap()
    assert versions.judge(episode(5, reward, **ABORTED)) is None
    reason = versions.judge(episode(7, reward, **ABORTED))
    assert reason is not None and "aborted" in reason and versions.running.version == 0


def test_abort_of_a_policy_that_does_well_counts_for_nothing() -> None:
    versions = judged_with_baseline()
    versions.offer(successor(1))
    versions.swap()
    for _ in range(5):
        assert versions.judge(episode(5, 1.5, **ABORTED)) is None
    assert versions.status().good_version == 0 and versions.status().num_episodes == 2


def test_episode_of_two_policies_may_only_speak_against_the_second() -> None:
    versions = judged_with_baseline()
    versions.offer(successor(1))
    versions.swap()
    versions.judge(episode(100, 2.0, is_of_one_policy=False))
    assert versions.status().good_version == 0
    for _ in range(2):
        versions.judge(episode(100, 0.1, is_of_one_policy=False))
    assert versions.status().is_rolled_back


@pytest.mark.parametrize("num_versions", [1, 63, 64, 65, 6000])
def test_status_stays_short_and_names_the_first_bad_version_however_many_ran(
    num_versions: int,
) -> None:
    versions = judged_with_baseline()
    for version in range(1, num_versions + 1):
        versions.offer(successor(version))
        versions.swap()
        versions.end_episode(90.0)  # within the bound, and not good
    for _ in range(2):
        versions.end_episode(0.0)
    status = PolicyStatus.from_json(versions.status().to_json())
    assert status.is_rolled_back and status.good_version == 0
    assert min(status.bad_versions) == 1 and max(status.bad_versions) == num_versions


def test_status_can_be_read_whatever_a_refusal_says() -> None:
    versions = judged_with_baseline()
    versions.note_refusal("\N{SNOWMAN}" * 100_000)
    assert PolicyStatus.from_json(versions.status().to_json()).num_refused == 1


def test_old_version_is_refused() -> None:
    succession = succession_with_baseline()
    succession.offer(successor(7))
    with pytest.raises(PolicyUpdateError, match="not newer than 7"):
        succession.refuse_unless_due(header(7))
