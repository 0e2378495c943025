"""A film of an episode, in real time."""

import functools
import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sim_training.environments.box_env import BoxEnv
from sim_training.evaluation.film_file import FilmFile, VideoError

RENDER_MODE = "rgb_array"


def choose_renderer() -> None:
    """Let MuJoCo render without a screen where there is none; to be called before it is imported.

    MuJoCo reads MUJOCO_GL when it is imported, never later.
    """
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")


class VideoRecording:
    """Films an environment, one call a control step; a context manager."""

    def __init__(self, path: Path, control_hz: float, duration_s: float | None = None) -> None:
        self._file = FilmFile(path, control_hz)
        self._steps_left = None if duration_s is None else round(duration_s * control_hz)

    def __enter__(self) -> "VideoRecording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, traceback)

    def film(self, env: BoxEnv) -> None:
        """Append the picture of the environment as it is; raise VideoError if it has none."""
        if self._steps_left is not None:
            if self._steps_left <= 0:
                return
            self._steps_left -= 1
        self._file.add(functools.partial(render, env))


def render(env: BoxEnv) -> NDArray[np.uint8]:
    """Return the picture [H, W, 3] of the environment; raise VideoError if it cannot be drawn."""
    try:
        frame = env.render()
    # OpenGL, its loaders and Gymnasium fail in as many ways as there are machines without it.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise VideoError(
            f"this machine cannot render ({reason}); set MUJOCO_GL to egl, osmesa or glfw,"
            " whichever works here, or leave out the film"
        ) from error
    if not isinstance(frame, np.ndarray):
        raise VideoError(f"the environment renders {type(frame).__name__}, expected an image")
    return np.ascontiguousarray(frame, dtype=np.uint8)
