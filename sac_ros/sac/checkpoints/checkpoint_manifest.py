"""The files of a checkpoint folder, and how they are replaced so that a crash loses nothing.

Every save writes new files under new names, then replaces manifest.json in one step. Whenever a
process dies, manifest.json lists either the old files or the new ones, and all of them are
complete: a written file is never changed, and a listed file is never removed.
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
# Only files with these names are ever removed.
_OURS = ("state-*.safetensors", "progress-*.json", "replay-*.safetensors", "manifest*.draft")


class CheckpointError(InputError):
    """A checkpoint is missing, damaged, from another run, or cannot be written."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Name, size and hash of one file of the checkpoint."""

    name: str
    size: int
    """Bytes."""
    sha256: str

    def describes(self, content: bytes) -> bool:
        """Return whether `content` has this size and hash."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


@dataclass(frozen=True, kw_only=True)
class ReplayChunk:
    """A file with transitions from start up to stop, by index over all ever added."""

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
    """Tensors of the learner and arrays of the training progress."""
    progress: FileEntry
    """JSON: values of the training progress, and the state of the buffer's generator."""
    buffer_capacity: int
    first_kept: int
    """Index of the oldest transition in the buffer; the first chunk may begin before it."""
    chunks: tuple[ReplayChunk, ...]

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the checkpoint except the manifest."""
        return (self.state, self.progress, *(chunk.file for chunk in self.chunks))


def write_file(folder: Path, name: str, content: bytes) -> FileEntry:
    """Write a new file and flush it to the disk; `name` must not exist yet."""
    with (folder / name).open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def read_file(folder: Path, entry: FileEntry) -> bytes:
    """Return a file's content; raise CheckpointError if it is missing or differs."""
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
            f"checkpoint file {path} is damaged: found {len(content)} bytes, expected {entry.size}"
            " bytes with another sha256; restore the folder from a copy, or start a new run"
        )
    return content


def replace_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace manifest.json in one atomic step."""
    content = to_mapping(manifest)
    document = {"sha256": _digest(content), "manifest": content}
    # The directory entries of the files must be on disk before the manifest that lists them.
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
            " checkpoint folder of a run that has saved a checkpoint"
        ) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise CheckpointError(f"{_damaged(path)}: {error}") from error
    if not isinstance(document, dict) or document.get("sha256") != _digest(
        document.get("manifest")
    ):
        raise CheckpointError(f"{_damaged(path)}: its content does not match its sha256")
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
    """Return whether every listed file exists with its full size; contents are not read."""
    try:
        return all((folder / file.name).stat().st_size == file.size for file in manifest.files)
    except OSError:
        return False


def remove_unlisted(folder: Path) -> None:
    """Remove files that the manifest does not list; if it cannot be read, remove nothing."""
    try:
        listed = {file.name for file in read_manifest(folder).files}
    except CheckpointError:
        return
    for pattern in _OURS:
        for path in folder.glob(pattern):
            if path.name not in listed:
                # A file that cannot be removed does no harm; the next save tries again.
                with contextlib.suppress(OSError):
                    path.unlink()


def _damaged(path: Path) -> str:
    return f"{path} is damaged; restore the folder from a copy, or start a new run"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
