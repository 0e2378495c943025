"""Read the actor from a model file saved by Stable-Baselines3's SAC.

The zip file contains pickles; none is executed here. torch loads the weights with weights_only,
which creates tensors only, and the settings are read as plain JSON. The activation function comes
from these settings. The file does not show whether observations were normalised outside the
network (VecNormalize); they are assumed not to be.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import torch
from torch import Tensor

from sac_ros.errors import InputError
from sac_ros.sac.networks.networks import SquashedGaussianActor

MAX_MEMBER_BYTES = 256 * 1024 * 1024
"""Limit for one unpacked file: a small zip can unpack to a huge file."""

_RELU = "torch.nn.modules.activation.ReLU"


class SB3ModelError(InputError):
    """The file is not a SAC model of Stable-Baselines3, or has features without equivalent here."""


@dataclass(frozen=True, kw_only=True)
class SB3Model:
    """The actor of a saved model, and where it came from."""

    actor: SquashedGaussianActor
    num_timesteps: int
    seed: int | None
    version: str
    """Version of Stable-Baselines3."""


def read_sb3_model(path: Path) -> SB3Model:
    """Read a model saved by `SAC.save`; raise SB3ModelError if it cannot be imported exactly."""
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(_member(archive, "data"))
            version = _member(archive, "_stable_baselines3_version").decode()
            _member(archive, "policy.pth")
            with archive.open("policy.pth") as file:
                weights = torch.load(file, map_location="cpu", weights_only=True)
    except SB3ModelError as error:
        raise SB3ModelError(f"{path}: {error}") from error
    except OSError as error:
        raise SB3ModelError(f"cannot read {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, RuntimeError, UnpicklingError) as error:
        raise SB3ModelError(
            f"{path} is not a model of Stable-Baselines3 ({_first_line(error)}); give the .zip that"
            " model.save wrote"
        ) from error
    try:
        _refuse_foreign(settings)
        actor = _actor(weights)
    except SB3ModelError as error:
        raise SB3ModelError(f"{path}: {error}") from error
    return SB3Model(
        actor=actor,
        num_timesteps=int(settings.get("num_timesteps", 0)),
        seed=settings.get("seed"),
        version=version.strip(),
    )


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one file of the archive; raise SB3ModelError if it is missing or too large."""
    try:
        size = archive.getinfo(name).file_size
    except KeyError as error:
        raise SB3ModelError(
            f"the archive has no {name!r}, so it is not a model of Stable-Baselines3; give the .zip"
            " that model.save wrote"
        ) from error
    if size > MAX_MEMBER_BYTES:
        raise SB3ModelError(f"{name!r} unpacks to {size} bytes, at most {MAX_MEMBER_BYTES} allowed")
    return archive.read(name)


def _refuse_foreign(settings: Mapping[str, object]) -> None:
    """Raise SB3ModelError for settings that the weights do not show but that change the actor."""
    policy = settings.get("policy_kwargs")
    policy = cast(Mapping[str, object], policy) if isinstance(policy, dict) else {}
    activation = str(policy.get("activation_fn", _RELU))
    if _RELU not in activation:
        raise SB3ModelError(f"its activation is {activation}, only ReLU can be imported")
    if settings.get("use_sde"):
        raise SB3ModelError("it explores with gSDE, which is not supported; train without use_sde")


def _actor(weights: object) -> SquashedGaussianActor:
    if not isinstance(weights, dict):
        raise SB3ModelError(f"its policy.pth holds a {type(weights).__name__}, expected weights")
    theirs: dict[str, Tensor] = {
        name.removeprefix("actor."): tensor
        for name, tensor in weights.items()
        if name.startswith("actor.")
    }
    layers = [f"latent_pi.{index}" for index in range(0, 2 * len(theirs), 2)]
    layers = [layer for layer in layers if f"{layer}.weight" in theirs]
    parts = (*layers, "mu", "log_std")
    expected = {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    if not layers or set(theirs) != expected:
        raise SB3ModelError(
            f"its actor has the weights {sorted(theirs)[:4]} and more, expected the hidden layers"
            " latent_pi.* and the heads mu and log_std: an MlpPolicy of SAC"
        )
    hidden_sizes = [theirs[f"{layer}.weight"].shape[0] for layer in layers]
    actor = SquashedGaussianActor(
        obs_dim=theirs[f"{layers[0]}.weight"].shape[1],
        action_dim=theirs["mu.weight"].shape[0],
        hidden_sizes=hidden_sizes,
    )
    ours: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        for index, layer in enumerate(layers):
            ours[f"trunk.{2 * index}.{kind}"] = theirs[f"{layer}.{kind}"]
        ours[f"head.{kind}"] = torch.cat((theirs[f"mu.{kind}"], theirs[f"log_std.{kind}"]))
    actor.load_state_dict(ours)
    return actor


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
