import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from full_disk import files_limited_to

from sac_ros.sac.checkpoints.checkpoint import (
    Progress,
    load_actor,
    load_checkpoint,
    load_learner,
    save_checkpoint,
)
from sac_ros.sac.checkpoints.checkpoint_manifest import MANIFEST, CheckpointError
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.learners.learner import SACLearner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer

OBS_DIM, ACTION_DIM = 3, 2
CONFIG = SACConfig(hidden_sizes=(16,), batch_size=8, buffer_capacity=50)
ROWS_A_SAVE = 7


class Run:
    """A run in miniature: each leg adds recognisable rows and takes one update."""

    def __init__(self, seed: int = 0, config: SACConfig = CONFIG) -> None:
        self.learner = SACLearner(OBS_DIM, ACTION_DIM, config, seed)
        self.buffer = ReplayBuffer(config.buffer_capacity, OBS_DIM, ACTION_DIM, seed)
        self.seed = seed
        self.legs = 0

    def go(self) -> None:
        first = self.buffer.num_added
        value = self.seed * 1e6 + np.arange(first, first + ROWS_A_SAVE, dtype=np.float32)
        flags = np.zeros(ROWS_A_SAVE, bool)
        obs = np.repeat(value[:, None], OBS_DIM, axis=1)
        action = np.zeros((ROWS_A_SAVE, ACTION_DIM))
        self.buffer.add(obs, action, value, obs, flags, flags)
        self.learner.update(self.buffer.sample(8))
        self.legs += 1

    def save(self, folder: Path) -> None:
        arrays = {"obs": np.full(OBS_DIM, self.legs), "empty": np.zeros((0, 2), np.float32)}
        progress = Progress(values={"legs": self.legs, "best": -float("inf")}, arrays=arrays)
        save_checkpoint(folder, self.learner, self.buffer, progress)

    def load(self, folder: Path) -> None:
        progress = load_checkpoint(folder, self.learner, self.buffer)
        legs = progress.values["legs"]
        assert isinstance(legs, int)
        self.legs = legs
        np.testing.assert_array_equal(progress.arrays["obs"], np.full(OBS_DIM, legs))

    @classmethod
    def loaded(cls, folder: Path) -> "Run":
        run = cls(seed=99)
        run.load(folder)
        return run

    def assert_whole(self, seed: int = 0) -> None:
        """Check that learner, buffer and progress are of the same moment, and every row true."""
        assert self.learner.num_updates == self.legs
        assert self.buffer.num_added == self.legs * ROWS_A_SAVE
        rows = self.buffer.rows(self.buffer.first_kept, self.buffer.num_added)
        expected = seed * 1e6 + np.arange(self.buffer.first_kept, self.buffer.num_added)
        np.testing.assert_array_equal(rows[:, 0], expected.astype(np.float32))


def assert_go_on_alike(mine: Run, theirs: Run) -> None:
    for _ in range(3):
        mine.go()
        theirs.go()
    states = mine.learner.state(), theirs.learner.state()
    for name, tensor in states[0].tensors.items():
        assert torch.equal(tensor, states[1].tensors[name]), name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoint"


@pytest.mark.parametrize("legs", [0, 1, 20])
def test_loaded_run_goes_on_identically(folder: Path, legs: int) -> None:
    run = Run(seed=99)  # the seed of Run.loaded, so that both add the same rows
    for _ in range(legs):
        run.go()
    run.save(folder)

    assert_go_on_alike(Run.loaded(folder), run)


def test_progress_comes_back_as_it_was(folder: Path) -> None:
    progress = Progress(
        values={"step": 2**70, "best": -float("inf"), "third": 1 / 3, "list": [None, "ä"]},
        arrays={
            "flags": np.array([True, False]),
            "scalar": np.array(0.1),
            "long": np.arange(3),
            "strided": np.arange(12.0).reshape(3, 4)[:, :2],
        },
    )
    run = Run()
    save_checkpoint(folder, run.learner, run.buffer, progress)

    loaded = load_checkpoint(folder, run.learner, run.buffer)

    assert loaded.values == progress.values
    assert loaded.arrays.keys() == progress.arrays.keys()
    for name, array in progress.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_ring_that_wraps_between_saves_is_restored_row_by_row(folder: Path) -> None:
    run = Run()
    for leg in range(1, 30):
        run.go()
        if leg % 3 == 0 or leg in (10, 11):
            run.save(folder)
            Run.loaded(folder).assert_whole()


def test_only_new_rows_are_written_and_files_out_of_use_are_removed(folder: Path) -> None:
    run = Run()
    for _ in range(6):
        run.go()
        run.save(folder)
    chunks = set(folder.glob("replay-*"))
    assert len(chunks) == 6

    for _ in range(3):  # 63 rows in all: the first chunk of 7 has fallen off the ring of 50
        run.go()
        run.save(folder)

    remaining = set(folder.glob("replay-*"))
    assert len(remaining) == 8
    assert len(chunks & remaining) == 5
    assert len(list(folder.iterdir())) == 8 + 3  # manifest, state and progress


def test_saving_twice_without_a_step_between_keeps_the_rows_once(folder: Path) -> None:
    run = Run()
    run.go()
    run.save(folder)
    run.save(folder)

    assert len(list(folder.glob("replay-*"))) == 1
    Run.loaded(folder).assert_whole()


@pytest.mark.parametrize("old_legs", [1, 3, 12])
def test_new_run_in_an_old_folder_does_not_mix_with_the_old_one(
    folder: Path, old_legs: int
) -> None:
    old = Run(seed=1)
    for _ in range(old_legs):
        old.go()
        old.save(folder)
    new = Run(seed=2)
    for _ in range(3):
        new.go()
        new.save(folder)
        Run.loaded(folder).assert_whole(seed=2)


def test_rows_that_vanished_from_the_disk_are_written_again(folder: Path) -> None:
    run = Run()
    for _ in range(3):
        run.go()
        run.save(folder)
    min(folder.glob("replay-*")).unlink()

    run.save(folder)

    Run.loaded(folder).assert_whole()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, change_one_bit, Path.unlink])
@pytest.mark.parametrize("pattern", ["manifest.json", "state-*", "progress-*", "replay-*"])
def test_damaged_file_is_refused_by_name(
    folder: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    run = Run()
    for _ in range(2):
        run.go()
        run.save(folder)
    victim = max(folder.glob(pattern))
    damage(victim)

    with pytest.raises(CheckpointError, match=victim.name):
        Run.loaded(folder)


def test_any_changed_byte_of_the_manifest_is_refused(folder: Path) -> None:
    run = Run()
    run.go()
    run.save(folder)
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    for position, byte in enumerate(content):
        if chr(byte).isspace():
            continue  # layout, not content
        changed = content[:position] + bytes([byte ^ 2]) + content[position + 1 :]
        manifest.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"manifest\.json"):
            Run.loaded(folder)


def test_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*nowhere"):
        Run.loaded(tmp_path / "nowhere")


def test_other_format_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sac_ros.sac.checkpoints.checkpoint.FORMAT", 3)
    Run().save(folder)

    with pytest.raises(CheckpointError, match="has format 3, this sac_ros reads 2"):
        Run.loaded(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_sizes", (17,)),
        ("num_critics", 3),
        ("critic_layer_norm", True),
        ("buffer_capacity", 51),
    ],
)
def test_checkpoint_of_other_networks_is_refused_by_name(
    folder: Path, name: str, value: object
) -> None:
    Run().save(folder)

    with pytest.raises(CheckpointError, match=f"was saved with {name}"):
        Run(config=dataclasses.replace(CONFIG, **{name: value})).load(folder)


def test_checkpoint_from_before_critics_could_be_normalised_is_read(folder: Path) -> None:
    run = Run()
    run.go()
    run.save(folder)
    content = json.loads((folder / MANIFEST).read_text())["manifest"]
    del content["sac"]["critic_layer_norm"]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({"sha256": digest, "manifest": content}))

    assert load_learner(folder).config == CONFIG
    expected, found = run.learner.state().tensors, Run.loaded(folder).learner.state().tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_actor_is_rebuilt_without_the_replay_rows(folder: Path) -> None:
    run = Run()
    run.go()
    run.save(folder)
    for chunk in folder.glob("replay-*"):
        chunk.unlink()

    saved = load_actor(folder)

    obs = torch.randn(5, OBS_DIM)
    assert torch.equal(saved.actor.mode(obs), run.learner.actor.mode(obs))
    assert (saved.config, saved.num_updates) == (CONFIG, 1)
    assert saved.progress.values["legs"] == 1


@pytest.mark.parametrize("size", [0, 100, 1000, 4000])
def test_full_disk_leaves_the_old_checkpoint_and_no_remains(folder: Path, size: int) -> None:
    run = Run()
    run.go()
    run.save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run.go()

    with files_limited_to(size), pytest.raises(CheckpointError, match="File too large"):
        run.save(folder)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    Run.loaded(folder).assert_whole()
    run.save(folder)
    Run.loaded(folder).assert_whole()


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")

    with pytest.raises(CheckpointError, match=r"cannot save a checkpoint in .*run/checkpoint"):
        Run().save(tmp_path / "run" / "checkpoint")


# The processes that are killed: forked from a server that has loaded all of torch already, with
# what an optimiser otherwise loads at its first step.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sac_ros.sac.checkpoints.checkpoint", "torch._dynamo"])


def save_for_ever(folder: Path, acknowledge: Connection) -> None:
    run = Run.loaded(folder)
    while True:
        run.go()
        run.save(folder)
        acknowledge.send(run.legs)


@pytest.mark.long
def test_sigkill_at_random_moments_leaves_the_last_checkpoint_or_the_next(folder: Path) -> None:
    rng = random.Random(0)
    first = Run()
    first.save(folder)
    legs = 0
    for _ in range(25):
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=save_for_ever, args=(folder, theirs))
        process.start()
        theirs.close()
        acknowledged = ours.recv()
        time.sleep(rng.uniform(0.0, 0.05))
        process.kill()
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                acknowledged = ours.recv()
        ours.close()

        run = Run.loaded(folder)

        run.assert_whole(seed=99)
        assert legs < acknowledged <= run.legs <= acknowledged + 1
        legs = run.legs


def save_and_die(folder: Path, at_call: int) -> None:
    """Save once more, and be killed before the `at_call`-th change to the file system."""
    run = Run.loaded(folder)
    run.go()
    num_calls = 0

    def deadly(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal num_calls
            num_calls += 1
            if num_calls == at_call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)
    Path.open, Path.unlink = deadly(Path.open), deadly(Path.unlink)  # type: ignore[method-assign]
    run.save(folder)


def test_sigkill_before_every_step_of_a_save_leaves_the_old_checkpoint_or_the_new(
    folder: Path,
) -> None:
    before = Run(seed=99)
    for _ in range(9):  # the ring turns over in the save that dies: chunks are added and removed
        before.go()
        before.save(folder)
    seen = set()
    for at_call in range(1, 100):
        process = PROCESSES.Process(target=save_and_die, args=(folder, at_call))
        process.start()
        process.join()

        run = Run.loaded(folder)
        run.assert_whole(seed=99)
        seen.add(run.legs)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        # From the same old checkpoint again, whatever this one has left.
        if run.legs > before.legs:
            before.save(folder)

    assert process.exitcode == 0 and at_call > 10
    assert seen == {before.legs, before.legs + 1}
    assert len(list(folder.iterdir())) == len(list(folder.glob("replay-*"))) + 3
