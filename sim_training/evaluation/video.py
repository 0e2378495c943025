"""A film of an episode, in real time."""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sim_training.environments.box_env import BoxEnv

RENDER_MODE = "rgb_array"


class VideoError(InputError):
    """The machine cannot render, or the file cannot be written."""


class FrameWriter(Protocol):
    """What imageio returns, as far as it is used here."""

    def append_data(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame [height, width, 3]."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def choose_renderer() -> None:
    """Let MuJoCo render without a screen where there is none; to be called before it is imported.

    MuJoCo reads MUJOCO_GL when it is imported, never later.
    """
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")


class VideoRecording:
    """Films an environment, frame by frame, into an .mp4 file; a context manager."""

    def __init__(self, path: Path, frames_hz: float) -> None:
        if path.suffix != ".mp4":
            raise VideoError(f"the video is to be {str(path)!r}, expected a name that ends in .mp4")
        self._path = path
        self._frames_hz = frames_hz
        self._writer: FrameWriter | None = None

    def __enter__(self) -> "VideoRecording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def film(self, env: BoxEnv) -> None:
        """Append what the environment shows now; raise VideoError if it cannot be drawn."""
        frame = _render(env)
        try:
            if self._writer is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = imageio.get_writer(
                    self._path, format="FFMPEG", fps=self._frames_hz, ffmpeg_log_level="error"
                )
            self._writer.append_data(frame)
        except OSError as error:
            raise VideoError(f"cannot write {self._path}: {_first_line(error)}") from error


def _render(env: BoxEnv) -> NDArray[np.uint8]:
    try:
        frame = env.render()
    # OpenGL, its loaders and Gymnasium fail in as many ways as there are machines without it.
    except Exception as error:
        raise VideoError(
            f"this machine cannot render ({_first_line(error)}); set MUJOCO_GL to egl, osmesa or"
            " glfw, whichever works here, or leave out --video"
        ) from error
    if not isinstance(frame, np.ndarray):
        raise VideoError(f"the environment renders {type(frame).__name__}, expected an image")
    return np.ascontiguousarray(frame, dtype=np.uint8)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
