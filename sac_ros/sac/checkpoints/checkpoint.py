"""Save and restore a whole training run: learner, replay buffer and progress of the loop.

Tensors and rows are stored as safetensors, everything else as JSON. Neither format can run code
when it is loaded.

Shapes: O obs_dim, A action_dim, W = 2 O + A + 3 floats in a replay row.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sac_ros.sac.checkpoints.checkpoint_manifest import (
    FORMAT,
    CheckpointError,
    Manifest,
    ReplayChunk,
    is_whole_on_disk,
    read_file,
    read_manifest,
    remove_unlisted,
    replace_manifest,
    write_file,
)
from sac_ros.sac.config.algorithm_config import AlgorithmConfig, algorithm_of
from sac_ros.sac.learners.algorithms import actor_from_weights
from sac_ros.sac.learners.learner import LearnerState
from sac_ros.sac.learners.learner_parts import tensors_of_part
from sac_ros.sac.learners.learner_protocol import Actor, Learner
from sac_ros.sac.replay.replay_buffer import ReplayBuffer
from sac_ros.sac.replay.replay_protocol import ReplayBufferProtocol

# Limits the memory used while one chunk is written or read.
_CHUNK_BYTES = 64 * 1024 * 1024
_LEARNER, _PROGRESS = "learner/", "progress/"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The state of the training loop, besides learner and replay buffer."""

    values: Mapping[str, object]
    """Values that JSON can represent."""
    arrays: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class SavedLearner:
    """A learner's state, optimiser moments included, and the sizes of its networks."""

    obs_dim: int
    action_dim: int
    config: AlgorithmConfig
    state: LearnerState
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class SavedActor:
    """The part of a checkpoint that an export needs."""

    actor: Actor
    config: AlgorithmConfig
    num_updates: int
    progress: Progress


def save_checkpoint(
    folder: Path, learner: Learner, buffer: ReplayBufferProtocol, progress: Progress
) -> None:
    """Replace the checkpoint in `folder`; after a crash, the old or the new one is complete.

    Only transitions added since the last save are written. Raises CheckpointError if the disk is
    full or not writable; the old checkpoint is then unchanged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First, to free the disk space that an interrupted save has left occupied.
        remove_unlisted(folder)
        replace_manifest(folder, _write_files(folder, learner, buffer, progress))
    except OSError as error:
        raise CheckpointError(
            f"cannot save a checkpoint in {folder} ({error.strerror}); the previous checkpoint is"
            " intact: make room or permission there, then resume"
        ) from error
    finally:
        remove_unlisted(folder)


def load_checkpoint(folder: Path, learner: Learner, buffer: ReplayBufferProtocol) -> Progress:
    """Restore learner and buffer from a checkpoint; return the loop's progress.

    Raises CheckpointError, naming the file, if anything is missing, damaged or from another run.
    Do not use learner and buffer after that.
    """
    manifest = read_manifest(folder)
    _refuse_other_shapes(folder, manifest, learner, buffer)
    tensors, progress, buffer_rng_state = _read_state(folder, manifest)
    learner.restore(LearnerState(num_updates=manifest.num_updates, tensors=tensors))
    buffer.restore_chunks(manifest.first_kept, _read_chunks(folder, manifest), buffer_rng_state)
    return progress


def load_learner(folder: Path) -> SavedLearner:
    """Return the learner of a checkpoint, optimiser moments included, without its replay rows."""
    manifest = read_manifest(folder)
    tensors, progress, _ = _read_state(folder, manifest)
    return SavedLearner(
        obs_dim=manifest.obs_dim,
        action_dim=manifest.action_dim,
        config=manifest.sac,
        state=LearnerState(num_updates=manifest.num_updates, tensors=tensors),
        progress=progress,
    )


def load_transitions(folder: Path, seed: int) -> ReplayBuffer:
    """Return the transitions of a checkpoint in a new buffer, just large enough for them."""
    manifest = read_manifest(folder)
    num_rows = manifest.chunks[-1].stop - manifest.first_kept if manifest.chunks else 0
    buffer = ReplayBuffer(max(1, num_rows), manifest.obs_dim, manifest.action_dim, seed)
    rows = (
        chunk["rows"].astype(np.float32, copy=False)[max(0, manifest.first_kept - start) :]
        for start, chunk in _read_chunks(folder, manifest)
    )
    buffer.restore(0, rows, buffer.rng_state)
    return buffer


def load_actor(folder: Path) -> SavedActor:
    """Return the actor of a checkpoint, without reading the replay rows."""
    saved = load_learner(folder)
    weights = tensors_of_part("actor", saved.state.tensors)
    return SavedActor(
        actor=actor_from_weights(saved.obs_dim, saved.action_dim, saved.config, weights),
        config=saved.config,
        num_updates=saved.state.num_updates,
        progress=saved.progress,
    )


def _write_files(
    folder: Path, learner: Learner, buffer: ReplayBufferProtocol, progress: Progress
) -> Manifest:
    # Random part: names are unique, even if another run saves in the same folder.
    label = f"{buffer.num_added:09d}-{secrets.token_hex(4)}"
    state = learner.state()
    arrays = {_LEARNER + name: tensor.numpy() for name, tensor in state.tensors.items()}
    # In C order, because safetensors ignores an array's strides.
    arrays |= {
        _PROGRESS + name: np.asarray(array, order="C") for name, array in progress.arrays.items()
    }
    values = {"progress": dict(progress.values), "buffer_rng": dict(buffer.rng_state)}
    return Manifest(
        format=FORMAT,
        obs_dim=learner.obs_dim,
        action_dim=learner.action_dim,
        sac=learner.config,
        num_updates=state.num_updates,
        state=write_file(folder, f"state-{label}.safetensors", safetensors.numpy.save(arrays)),
        progress=write_file(folder, f"progress-{label}.json", json.dumps(values).encode()),
        buffer_capacity=buffer.capacity,
        first_kept=buffer.first_kept,
        chunks=_write_chunks(folder, label, buffer),
    )


def _write_chunks(
    folder: Path, label: str, buffer: ReplayBufferProtocol
) -> tuple[ReplayChunk, ...]:
    """Write the rows that are not saved yet; return all chunks that the buffer needs."""
    chunks = _reusable_chunks(folder, buffer)
    start = chunks[-1].stop if chunks else buffer.first_kept
    rows_per_chunk = max(1, _CHUNK_BYTES // buffer.row_bytes)
    for part, first in enumerate(range(start, buffer.num_added, rows_per_chunk)):
        last = min(first + rows_per_chunk, buffer.num_added)
        name = f"replay-{label}-{part:03d}.safetensors"
        file = write_file(folder, name, _encode_rows(buffer, first, last))
        chunks.append(ReplayChunk(start=first, stop=last, file=file))
    return tuple(chunks)


def _reusable_chunks(folder: Path, buffer: ReplayBufferProtocol) -> list[ReplayChunk]:
    """Return the saved chunks with rows of this buffer; none if they belong to another run.

    A new run may save into the folder of an old one. Comparing the newest chunk is enough: if it
    differs from the rows in the buffer, it is another run's. If the buffer no longer has those
    rows, all its rows are new and must be written anyway.
    """
    try:
        previous = read_manifest(folder)
    except CheckpointError:
        return []
    if not previous.chunks or not is_whole_on_disk(folder, previous):
        return []
    newest = previous.chunks[-1]
    if newest.start < buffer.first_kept or newest.stop > buffer.num_added:
        return []
    if not newest.file.describes(_encode_rows(buffer, newest.start, newest.stop)):
        return []
    return [chunk for chunk in previous.chunks if chunk.stop > buffer.first_kept]


def _encode_rows(buffer: ReplayBufferProtocol, start: int, stop: int) -> bytes:
    return safetensors.numpy.save(dict(buffer.chunk(start, stop)))


def _read_chunks(
    folder: Path, manifest: Manifest
) -> Iterator[tuple[int, Mapping[str, NDArray[np.generic]]]]:
    for chunk in manifest.chunks:
        yield chunk.start, safetensors.numpy.load(read_file(folder, chunk.file))


def _read_state(
    folder: Path, manifest: Manifest
) -> tuple[dict[str, Tensor], Progress, Mapping[str, object]]:
    """Return the learner's tensors, the loop's progress and the buffer's generator state."""
    arrays = safetensors.numpy.load(read_file(folder, manifest.state))
    values = json.loads(read_file(folder, manifest.progress))
    tensors = {
        name.removeprefix(_LEARNER): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(_LEARNER)
    }
    progress = Progress(
        values=values["progress"],
        arrays={
            name.removeprefix(_PROGRESS): array.copy()
            for name, array in arrays.items()
            if name.startswith(_PROGRESS)
        },
    )
    return tensors, progress, values["buffer_rng"]


def _refuse_other_shapes(
    folder: Path, manifest: Manifest, learner: Learner, buffer: ReplayBufferProtocol
) -> None:
    pairs = {
        "obs_dim": (manifest.obs_dim, learner.obs_dim),
        "action_dim": (manifest.action_dim, learner.action_dim),
        "algorithm": (algorithm_of(manifest.sac), algorithm_of(learner.config)),
        "hidden_sizes": (manifest.sac.hidden_sizes, learner.config.hidden_sizes),
        # Not every algorithm has these settings.
        **{
            name: tuple(getattr(config, name, None) for config in (manifest.sac, learner.config))
            for name in ("num_critics", "critic_layer_norm")
        },
        "buffer_capacity": (manifest.buffer_capacity, buffer.capacity),
    }
    for name, (saved, wanted) in pairs.items():
        if saved != wanted:
            raise CheckpointError(
                f"the checkpoint in {folder} was saved with {name} {saved}, this run has {wanted};"
                " resume with the settings that the run was started with"
            )
