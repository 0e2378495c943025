"""MuJoCo's advice on Gymnasium's models, kept from people who cannot take it."""

import contextlib
import sys
from collections.abc import Iterator

import mujoco


@contextlib.contextmanager
def without_deprecation_warnings() -> Iterator[None]:
    """Drop the deprecation notes that MuJoCo prints, and logs to a file, for every model it loads.

    Everything else it warns of is shown.
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
