"""`sac-ros bag-to-buffer`: what was recorded comes back as the steps that were taken."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from linear_policy import linear_contract, write_linear_policy
from recorded_pendulum import PENDULUM, PERIOD_S, Recording, as_read, steady_run, written
from rosbags.rosbag2 import StoragePlugin

from sac_ros.command_line import run
from sac_ros.nodes.messages.message_stamp import stamp_s
from sac_ros.sac.replay.demonstrations import Demonstrations
from sac_ros.task.task_spec import load_task
from sac_ros.task.transition import Transition

NO_GAIN = np.zeros((PENDULUM.action_dim, PENDULUM.obs_dim))


def convert(bag: Path, out: Path, *options: str) -> int:
    return run(["bag-to-buffer", str(bag), "--task", PENDULUM.name, "--out", str(out), *options])


def summary(bag: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    capsys.readouterr()
    run(["bag-to-buffer", str(bag), "--task", PENDULUM.name, "--verify", "--json", *options])
    return json.loads(capsys.readouterr().out)


def node_run(num_ticks: int, *, lag: int = 0, begin_s: float = 1000.0) -> Recording:
    """Return a run with what a node sent that acted on the message `lag` before the newest."""
    recording, before = Recording(), None
    for number in range(-lag, num_ticks):
        at_s = begin_s + number * PERIOD_S
        recording.joints(at_s, cart=0.01 * number, stamp_s=50.0 + 0.04 * number)
        seen = number - lag
        if number < 0 or seen < -lag:
            continue
        named_s = np.full(4, as_read(50.0 + 0.04 * seen))
        obs = np.array([0.01 * seen, 0.0, 0.25, 0.5], dtype=np.float32)
        recording.command(at_s + 0.002, force_n=3.0 * number)
        if before is not None:
            recording.sent(
                at_s + 0.003,
                Transition(
                    episode=0,
                    step=number - 1,
                    obs=before[0],
                    action=np.array([3.0 * (number - 1) / 300.0]),
                    reward=1.0,
                    next_obs=obs,
                    terminated=False,
                    truncated=False,
                    policy=7,
                    obs_stamps_s=before[1],
                    next_obs_stamps_s=named_s,
                ),
            )
        before = (obs, named_s)
    return recording


def test_each_command_is_a_step_from_the_readings_before_it_to_those_after(tmp_path: Path) -> None:
    assert convert(steady_run(20).write(tmp_path / "bag"), tmp_path / "out") == 0
    transitions = written(tmp_path / "out")
    assert [t.step for t in transitions] == list(range(19))
    for number, transition in enumerate(transitions):
        cart = np.array([0.01 * number, 0.01 * (number + 1)], dtype=np.float32)
        np.testing.assert_array_equal(transition.obs, [cart[0], 0.0, 0.25, 0.5])
        np.testing.assert_array_equal(transition.next_obs, [cart[1], 0.0, 0.25, 0.5])
        assert transition.action[0] == pytest.approx(0.01 * number, abs=1e-15)
        assert transition.reward == 1.0 and not transition.terminated


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_bag_of_another_recorder_gives_the_same(tmp_path: Path, storage: StoragePlugin) -> None:
    convert(steady_run(20).write(tmp_path / "ours"), tmp_path / "a")
    theirs = steady_run(20).write_with_rosbags(tmp_path / "theirs", storage)
    assert convert(theirs, tmp_path / "b") == 0
    for mine, other in zip(written(tmp_path / "a"), written(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(mine.next_obs, other.next_obs)


def test_episode_ends_where_the_tasks_rule_says_so(tmp_path: Path) -> None:
    recording = steady_run(5)
    at_s = 1000.0 + 5 * PERIOD_S
    recording.joints(at_s, cart=0.05, angle=0.3)  # fell over
    recording.command(at_s + 0.002, 0.0)
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    transitions = written(tmp_path / "out")
    assert [t.terminated for t in transitions] == [False] * 4 + [True]
    assert transitions[-1].reward == 0.0


def test_time_limit_cuts_episodes_short_unless_the_run_was_continuous(tmp_path: Path) -> None:
    limit = PENDULUM.max_episode_steps
    bag = steady_run(90).write(tmp_path / "bag")
    task = tmp_path / "short.yaml"
    task.write_text(
        Path("config/tasks/inverted_pendulum.yaml")
        .read_text()
        .replace(f"max_episode_steps: {limit}", "max_episode_steps: 30")
    )
    options = ["--task", str(task), "--out"]
    assert run(["bag-to-buffer", str(bag), *options, str(tmp_path / "a")]) == 0
    cut = [t for t in written(tmp_path / "a") if t.truncated]
    assert len(cut) == 2 and all(t.step == 29 for t in cut)
    assert (
        run(["bag-to-buffer", str(bag), *options, str(tmp_path / "b"), "--run", "continuous"]) == 0
    )
    assert not any(t.truncated for t in written(tmp_path / "b"))
    assert len(written(tmp_path / "b")) == 89


def test_pause_of_the_commands_breaks_the_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(10)
    recording.messages += steady_run(10, begin_s=1000.0 + 13 * PERIOD_S).messages
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    transitions = written(tmp_path / "out")
    assert [t.step for t in transitions] == [*range(9), *range(9)]
    assert transitions[8].episode != transitions[9].episode
    assert "left out: 1 breaks" in capsys.readouterr().out


def test_nothing_is_learned_from_an_emergency_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(30)
    recording.estopped(1000.0 + 9.5 * PERIOD_S, True)
    recording.estopped(1000.0 + 19.5 * PERIOD_S, False)
    recording.messages.sort(key=lambda message: message[2])
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    forces = [round(300.0 * t.action[0] / 3.0) for t in written(tmp_path / "out")]
    assert forces == [*range(9), *range(20, 29)]
    assert "10 commands during an emergency stop" in capsys.readouterr().out


def test_stale_readings_break_the_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(20)
    silent = (1000.0 + 7.5 * PERIOD_S, 1000.0 + 14.5 * PERIOD_S)
    recording.messages = [
        message
        for message in recording.messages
        if message[0] != "/joint_states" or not silent[0] < message[2] < silent[1]
    ]
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    assert "too old" in capsys.readouterr().out
    steps = [t.step for t in written(tmp_path / "out")]
    assert steps[0] == 0 and steps.count(0) == 2


def test_faster_commands_are_thinned_out_to_the_control_rate(tmp_path: Path) -> None:
    recording = Recording()
    for number in range(100):
        at_s = 1000.0 + number * PERIOD_S / 5.0
        recording.joints(at_s, cart=0.01 * number)
        recording.command(at_s + 0.001, float(number))
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    transitions = written(tmp_path / "out")
    assert len(transitions) == 19
    carts = [float(t.next_obs[0] - t.obs[0]) for t in transitions]
    np.testing.assert_allclose(carts, 0.05, atol=1e-6)


def test_command_beyond_the_limits_begins_no_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(20)
    recording.messages = [
        m for m in recording.messages if m[0] != "/joint_commands" or m[3].data[0] != 30.0
    ]
    recording.command(1000.0 + 10 * PERIOD_S + 0.002, 301.0)
    recording.messages.sort(key=lambda message: message[2])
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 0
    assert len(written(tmp_path / "out")) == 18
    assert "1 commands outside of the task's limits" in capsys.readouterr().out


def test_messages_that_the_node_named_are_taken_not_those_that_had_arrived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = node_run(20, lag=1).write(tmp_path / "bag")
    assert convert(bag, tmp_path / "out", "--verify") == 0
    assert "of 19 transitions that the node published: 19 bitwise equal" in capsys.readouterr().out
    assert all(t.policy == 7 for t in written(tmp_path / "out"))
    assert convert(bag, tmp_path / "late", "--verify", "--sampling", "arrival") == 1
    assert "19 differ: first in episode 0, step 0; obs in 19" in capsys.readouterr().out


def test_step_that_the_node_sent_otherwise_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = node_run(20)
    for topic, _, _, message in recording.messages:
        if topic.endswith("transitions") and message.data[1] == 4.0:  # type: ignore[attr-defined]
            message.data[2] = 1.5  # type: ignore[attr-defined]
    bag = recording.write(tmp_path / "bag")
    assert convert(bag, tmp_path / "out", "--verify") == 1
    said = capsys.readouterr().out
    assert "18 bitwise equal; 1 differ: first in episode 0, step 4; reward in 1" in said
    assert convert(bag, tmp_path / "sent", "--reward", "sent") == 0
    assert written(tmp_path / "sent")[4].reward == 1.5


def test_message_that_the_recorder_missed_is_counted_and_breaks_the_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = node_run(20)
    missing = next(m for m in recording.messages if stamp_s(m[3], 0.0) == as_read(50.32))
    recording.messages.remove(missing)
    found = summary(recording.write(tmp_path / "bag"), capsys)
    assert found["transitions"] == 17 and found["not_computed"] == 2
    assert found["comparison"]["num_exact"] == 17
    assert found["left_out"]["steps whose sensor messages are not in the bag"] == 1


def test_lost_transition_is_computed_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = node_run(20)
    lost = next(
        m for m in recording.messages if m[0].endswith("transitions") and m[3].data[1] == 8.0
    )
    recording.messages.remove(lost)
    found = summary(recording.write(tmp_path / "bag"), capsys)
    assert found["transitions"] == 19 and found["sent"] == 18
    assert found["comparison"]["num_exact"] == 18


def test_second_activation_is_another_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = node_run(10)
    recording.messages += node_run(10, begin_s=1005.0).messages
    found = summary(recording.write(tmp_path / "bag"), capsys)
    assert found["episodes"] == 2 and found["comparison"]["num_exact"] == 18


def test_demonstrations_are_read_by_the_learner_as_such(tmp_path: Path) -> None:
    bag = steady_run(20).write(tmp_path / "bag")
    folder = tmp_path / "robot" / "demonstrations"
    assert convert(bag, folder, "--demonstrations") == 0
    assert all(t.intervention for t in written(folder))
    loaded = Demonstrations(folder, linear_contract(PENDULUM, NO_GAIN, -3.0), seed=0)
    assert len(loaded.buffer) == 19
    loaded.log.close()


def test_more_bags_are_appended_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, out = steady_run(20).write(tmp_path / "bag"), tmp_path / "out"
    assert convert(bag, out) == 0
    assert convert(bag, out) == 2
    assert "--append" in capsys.readouterr().err
    assert convert(bag, out, "--append") == 0
    assert len(written(out)) == 38


def test_bag_tells_its_task_itself_and_other_tasks_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(20)
    contract = linear_contract(PENDULUM, NO_GAIN, -3.0)
    recording.contract(999.0, contract.to_json())
    bag = str(recording.write(tmp_path / "bag"))
    assert run(["bag-to-buffer", bag, "--out", str(tmp_path / "out")]) == 0
    assert len(written(tmp_path / "out")) == 19
    assert run(["bag-to-buffer", bag, "--task", "hopper", "--out", str(tmp_path / "no")]) == 2
    said = capsys.readouterr().err
    assert "'inverted_pendulum'" in said and "'hopper'" in said and said.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_recording_that_broke_off_is_used_up_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = steady_run(400).write(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    whole = file.read_bytes()
    # Within the index at the end: all messages are there.
    file.write_bytes(whole[:-100])
    assert convert(bag, tmp_path / "out") == 0
    assert "is incomplete, because its recorder was killed" in capsys.readouterr().out
    assert len(written(tmp_path / "out")) == 399


def test_damaged_bag_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = steady_run(400).write(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    content = bytearray(file.read_bytes())
    content[2000:2100] = bytes(100)
    file.write_bytes(content)
    assert convert(bag, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "damaged" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["nowhere", "--task", "inverted_pendulum", "--out", "OUT"], "no bag at nowhere"),
        (["BAG", "--out", "OUT"], "--task or --policy"),
        (["BAG", "--task", "hoper", "--out", "OUT"], "known tasks"),
        (["BAG", "--task", "hopper", "--out", "OUT", "--namespace", "b"], "no topic /b/joint"),
        (["BAG", "--task", "inverted_pendulum"], "--out FOLDER"),
        (
            ["BAG", "--task", "inverted_pendulum", "--verify"],
            "needs transitions of a policy node, but the bags have none",
        ),
        (["BAG", "--task", "inverted_pendulum", "--out", "OUT", "--sampling", "stamps"], "stamps"),
        (["BAG", "--task", "inverted_pendulum", "--out", "OUT", "--reward", "sent"], "sent"),
        (["BAG", "--task", "inverted_pendulum", "--out", "OUT", "--remap", "a"], "FROM:=TO"),
        (["BAG", "--policy", "missing.onnx", "--out", "OUT"], "missing.onnx"),
        (["--out", "OUT"], "--help"),
    ],
)
def test_wrong_usage_is_refused_in_one_line(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = steady_run(20).write(tmp_path / "bag")
    given = {"BAG": str(bag), "OUT": str(tmp_path / "out")}
    assert run(["bag-to-buffer", *(given.get(option, option) for option in options)]) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not list(tmp_path.glob("out/segment*"))


def test_topic_of_another_type_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = steady_run(5)
    recording.messages = [m for m in recording.messages if m[0] != "/joint_states"]
    recording.array("/joint_states", 1000.0, np.zeros(2))
    assert convert(recording.write(tmp_path / "bag"), tmp_path / "out") == 2
    assert "is of type std_msgs/msg/Float64MultiArray" in capsys.readouterr().err


def test_topics_under_other_names_are_found(tmp_path: Path) -> None:
    recording = steady_run(20)
    recording.messages = [
        (topic.replace("/joint_states", "/arm/state"), *rest) for topic, *rest in recording.messages
    ]
    bag = recording.write(tmp_path / "bag")
    assert convert(bag, tmp_path / "out", "--remap", "joint_states:=arm/state") == 0
    assert len(written(tmp_path / "out")) == 19


def test_policy_gives_the_task(tmp_path: Path) -> None:
    bag = steady_run(20).write(tmp_path / "bag")
    policy = write_linear_policy(tmp_path / "policy.onnx", load_task("inverted_pendulum"))
    options = ["--policy", str(policy), "--out", str(tmp_path / "out")]
    assert run(["bag-to-buffer", str(bag), *options]) == 0
    assert len(written(tmp_path / "out", replace(PENDULUM))) == 19
