"""A user's own last word on every command: parameter `veto`, a Python callable by name."""

import importlib
from typing import cast

from sac_ros.errors import InputError
from sac_ros.policy.safety_filter import Veto


def load_veto(name: str) -> Veto | None:
    """Return the callable called `module:attribute`; None for an empty name."""
    if not name:
        return None
    module, _, attribute = name.partition(":")
    try:
        veto = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"parameter 'veto' is {name!r}, which cannot be imported ({error}); expected"
            " my_package.my_module:my_function, with the package on PYTHONPATH"
        ) from error
    if not callable(veto):
        raise InputError(f"parameter 'veto' names {name!r}, which cannot be called")
    return cast(Veto, veto)
