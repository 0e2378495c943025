"""A film as a file: .mp4 for a player, .gif and .webp for a page.

Shapes: H height and W width in pixels.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import InputError


class VideoError(InputError):
    """The machine cannot render, or the file cannot be written."""


@dataclass(frozen=True, kw_only=True)
class _Format:
    """How FFmpeg writes one kind of file."""

    max_frames_hz: float
    codec: str
    pixel_format: str
    quality: float | None = None
    output_params: tuple[str, ...] = ()


# One palette of 256 colours for the whole film, chosen for what moves.
_PALETTE = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer"
_FORMATS = {
    ".mp4": _Format(max_frames_hz=50.0, codec="libx264", pixel_format="yuv420p", quality=6.0),
    ".gif": _Format(
        max_frames_hz=25.0,
        codec="gif",
        pixel_format="pal8",
        output_params=("-filter_complex", _PALETTE, "-loop", "0"),
    ),
    ".webp": _Format(
        max_frames_hz=25.0,
        codec="libwebp_anim",
        pixel_format="yuv420p",
        output_params=("-quality", "75", "-compression_level", "4", "-loop", "0"),
    ),
}


class FilmFile:
    """Writes pictures [H, W, 3] to a film that plays in real time; a context manager.

    Of `pictures_hz` it keeps only as many as the kind of file plays well.
    """

    def __init__(self, path: Path, pictures_hz: float) -> None:
        if path.suffix not in _FORMATS:
            raise VideoError(
                f"the film is to be {str(path)!r}, expected a name that ends in"
                f" {', '.join(_FORMATS)}"
            )
        self._path = path
        self._format = _FORMATS[path.suffix]
        self._stride = max(1, math.ceil(pictures_hz / self._format.max_frames_hz))
        self._frames_hz = pictures_hz / self._stride
        self._num_offered = 0
        self._writer: Generator[None, object, None] | None = None

    def __enter__(self) -> "FilmFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, draw: Callable[[], NDArray[np.uint8]]) -> None:
        """Add the picture that `draw` returns, or skip it undrawn; drawing takes the most time."""
        is_kept = self._num_offered % self._stride == 0
        self._num_offered += 1
        if not is_kept:
            return
        picture = draw()
        try:
            if self._writer is None:
                self._writer = self._open(picture.shape[1], picture.shape[0])
            self._writer.send(np.ascontiguousarray(picture))
        except OSError as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise VideoError(f"cannot write {self._path}: {reason}") from error

    def _open(self, width: int, height: int) -> Generator[None, object, None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        writer: Generator[None, object, None] = imageio_ffmpeg.write_frames(
            str(self._path),
            (width, height),
            fps=self._frames_hz,
            codec=self._format.codec,
            quality=self._format.quality,
            pix_fmt_out=self._format.pixel_format,
            macro_block_size=2,
            output_params=list(self._format.output_params),
            ffmpeg_log_level="error",
        )
        writer.send(None)
        return writer
