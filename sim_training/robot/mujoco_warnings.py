"""Suppress MuJoCo's deprecation warnings about Gymnasium's models, which users cannot fix."""

import contextlib
import sys
from collections.abc import Iterator

import mujoco


@contextlib.contextmanager
def without_deprecation_warnings() -> Iterator[None]:
    """Suppress the deprecation warnings that MuJoCo prints and logs for every loaded model.

    All other warnings are shown.
    """
    previous = mujoco.get_mju_user_warning()

    def show(message: str) -> None:
        if "is deprecated" not in message:
            print(f"MuJoCo: {message}", file=sys.stderr)

    mujoco.set_mju_user_warning(show)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)
