"""What a checkpoint folder holds, and how its files are written so that none is ever half there.

Every save writes new files under new names, then replaces manifest.json in one step. Whatever the
moment a process dies, manifest.json lists either the old files or the new ones, and all of them
are whole: no file is changed once written, and none is removed while manifest.json lists it.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from sac_ros.atomic_write import replace_file, sync_folder
from sac_ros.errors import InputError
from sac_ros.sac.config.algorithm_config import AlgorithmConfig
from sac_ros.task.strict_yaml import ConfigError, parse_mapping, to_mapping

FORMAT = 2
MANIFEST = "manifest.json"
# Only names this package gives are ever removed.
_OURS = ("state-*.safetensors", "progress-*.json", "replay-*.safetensors", "manifest*.draft")


class CheckpointError(InputError):
    """A checkpoint is missing, damaged or of another run, or it cannot be written."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file as it must be found."""

    name: str
    size: int
    """Bytes."""
    sha256: str

    def describes(self, content: bytes) -> bool:
        """Tell whether `content` is what was written."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


@dataclass(frozen=True, kw_only=True)
class ReplayChunk:
    """Transitions start to stop, counted since the buffer began."""

    start: int
    stop: int
    file: FileEntry


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of manifest.json."""

    format: int
    obs_dim: int
    action_dim: int
    sac: AlgorithmConfig
    num_updates: int
    state: FileEntry
    """Tensors of the learner, arrays of the progress."""
    progress: FileEntry
    """Values of the progress and the state of the buffer's generator, JSON."""
    buffer_capacity: int
    first_kept: int
    """Oldest transition in the buffer; the first chunk may begin before it."""
    chunks: tuple[ReplayChunk, ...]

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the checkpoint but the manifest itself."""
        return (self.state, self.progress, *(chunk.file for chunk in self.chunks))


def write_file(folder: Path, name: str, content: bytes) -> FileEntry:
    """Write a file down to the disk; `name` is new to the folder."""
    with (folder / name).open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def read_file(folder: Path, entry: FileEntry) -> bytes:
    """Return a file's content; raise CheckpointError unless it is what was written."""
    path = folder / entry.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"checkpoint file {path} cannot be read ({error.strerror}); restore the folder from a"
            " copy, or start a new run"
        ) from error
    if not entry.describes(content):
        raise CheckpointError(
            f"checkpoint file {path} is damaged ({len(content)} bytes, {entry.size} were written,"
            " or their sha256 differs); restore the folder from a copy, or start a new run"
        )
    return content


def replace_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the one that counts, in one step that a crash cannot divide."""
    content = to_mapping(manifest)
    document = {"sha256": _digest(content), "manifest": content}
    # The files' names must be on the disk before a manifest that lists them.
    sync_folder(folder)
    replace_file(folder / MANIFEST, json.dumps(document, indent=1).encode())


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest; raise CheckpointError if there is none or it is damaged."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"no checkpoint in {folder}: {path} cannot be read ({error.strerror}); give the"
            " checkpoint folder of a run that has saved one"
        ) from error
    except ValueError as error:  # not JSON, or not text at all
        raise CheckpointError(f"{_damaged(path)}: {error}") from error
    if not isinstance(document, dict) or document.get("sha256") != _digest(
        document.get("manifest")
    ):
        raise CheckpointError(f"{_damaged(path)}: its sha256 differs from what was written")
    content = document["manifest"]
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {content.get('format')}, this sac_ros reads {FORMAT}; resume with"
            " the version that wrote it"
        )
    try:
        return parse_mapping(content, Manifest, str(path))
    except ConfigError as error:
        raise CheckpointError(f"{error}; resume with the version that wrote it") from error


def is_whole_on_disk(folder: Path, manifest: Manifest) -> bool:
    """Tell whether every file is there in its full size, without reading them."""
    try:
        return all((folder / file.name).stat().st_size == file.size for file in manifest.files)
    except OSError:
        return False


def remove_unlisted(folder: Path) -> None:
    """Remove what interrupted and earlier saves have left; nothing if that cannot be known."""
    try:
        listed = {file.name for file in read_manifest(folder).files}
    except CheckpointError:
        return
    for pattern in _OURS:
        for path in folder.glob(pattern):
            if path.name not in listed:
                # One that cannot be removed harms nobody; the next save tries again.
                with contextlib.suppress(OSError):
                    path.unlink()


def _damaged(path: Path) -> str:
    return f"{path} is damaged, restore the folder from a copy or start a new run"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
