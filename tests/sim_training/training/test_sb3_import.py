"""`sac-ros export --from-sb3`: a model of Stable-Baselines3 acts here as it does there."""

import json
import pickle
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC

from sac_ros.command_line import run
from sac_ros.policy.onnx_policy import OnnxPolicy
from sac_ros.sac.checkpoints.sb3_model import read_sb3_model

NETWORK = {"net_arch": [32, 24]}


def save_model(path: Path, env: str = "Pendulum-v1", **settings: object) -> SAC:
    kwargs = {"policy_kwargs": NETWORK, "device": "cpu", "seed": 3, **settings}
    model = SAC("MlpPolicy", env, **kwargs)
    # A trained policy is not as tame as a new one.
    model.actor.mu.weight.data *= 20.0
    model.save(path)
    return model


def export(model: Path, *arguments: str) -> int:
    return run(["export", "--from-sb3", str(model), *arguments])


@pytest.mark.parametrize(
    ("env", "arguments"),
    [
        ("Pendulum-v1", ("--env", "Pendulum-v1")),
        ("InvertedPendulum-v5", ("--task", "inverted_pendulum")),
        ("HalfCheetah-v5", ("--task", "half_cheetah")),
    ],
)
def test_imported_policy_acts_as_their_model_does(
    tmp_path: Path, env: str, arguments: tuple[str, ...]
) -> None:
    model = save_model(tmp_path / "model.zip", env)

    assert export(tmp_path / "model.zip", *arguments) == 0

    policy = OnnxPolicy.load(tmp_path / "model.onnx")
    space = gymnasium.make(env).action_space
    rng = np.random.default_rng(0)
    for _ in range(50):
        obs = rng.standard_normal(policy.task.obs_dim).astype(np.float32)
        theirs, _ = model.predict(obs, deterministic=True)
        ours = space.low + (space.high - space.low) * (policy.mode(obs) + 1.0) / 2.0
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-5 * space.high.max())


def test_contract_says_where_it_came_from(tmp_path: Path) -> None:
    save_model(tmp_path / "model.zip")

    assert export(tmp_path / "model.zip", "--env", "Pendulum-v1") == 0

    provenance = OnnxPolicy.load(tmp_path / "model.onnx").contract.provenance
    assert "stable_baselines3" in provenance.algorithm
    assert provenance.seed == 3 and provenance.steps == 0
    assert provenance.evaluation_return is not None and provenance.evaluation_return < 0.0


def test_standard_deviation_is_imported_too(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.zip")
    obs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))

    actor = read_sb3_model(tmp_path / "model.zip").actor

    mean, log_std, _ = model.actor.get_action_dist_params(obs)
    with torch.no_grad():
        ours = actor(obs)
    torch.testing.assert_close(ours, (mean.detach(), log_std.detach()))


class Trap:
    """Running code when it is unpickled is all it does."""

    sprung = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _spring, ()


def _spring() -> None:
    Trap.sprung = True


def with_member(model: Path, name: str, content: bytes) -> Path:
    """Return a copy of the archive in which one member is another."""
    copy = model.with_name("changed.zip")
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(copy, "w") as new:
        for member in old.namelist():
            new.writestr(member, content if member == name else old.read(member))
    return copy


def test_pickles_in_the_zip_are_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "model.zip")
    trapped = with_member(tmp_path / "model.zip", "policy.pth", pickle.dumps(Trap(), protocol=2))

    assert export(trapped, "--env", "Pendulum-v1") == 2

    assert not Trap.sprung
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "changed.zip is not a model" in errors


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"policy_kwargs": {**NETWORK, "activation_fn": torch.nn.Tanh}}, "activation"),
        ({"use_sde": True}, "gSDE"),
    ],
)
def test_model_without_an_equal_here_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], reason: str
) -> None:
    kwargs = {"policy_kwargs": NETWORK, "device": "cpu", **settings}
    SAC("MlpPolicy", "Pendulum-v1", **kwargs).save(tmp_path / "model.zip")

    assert export(tmp_path / "model.zip", "--env", "Pendulum-v1") == 2

    assert reason in capsys.readouterr().err


def test_anything_else_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, ppo = tmp_path / "model.zip", tmp_path / "ppo.zip"
    save_model(model)
    PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8, device="cpu").save(ppo)
    text = tmp_path / "text.zip"
    text.write_text("no archive")
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    garbled = with_member(model, "data", json.dumps({"policy_kwargs": 3})[:-1].encode())
    pendulum = ("--env", "Pendulum-v1")
    refusals = (
        ((ppo, *pendulum), "mu and log_std"),
        ((text, *pendulum), "not a model"),
        ((empty, *pendulum), "the archive has no 'data'"),
        ((garbled, *pendulum), "not a model"),
        ((tmp_path / "nowhere.zip", *pendulum), "nowhere.zip"),
        ((model, "--task", "half_cheetah"), "give the task that it was trained for"),
        ((model,), "--task half_cheetah"),
        ((model, "some_run", *pendulum), "not both"),
    )
    for (path, *arguments), reason in refusals:
        assert export(path, *arguments) == 2
        errors = capsys.readouterr().err
        assert reason in errors and errors.count("\n") == 1, errors


def test_export_of_a_run_takes_no_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(tmp_path), "--task", "hopper"]) == 2
    assert "--from-sb3" in capsys.readouterr().err
    assert run(["export"]) == 2
    assert "folder of a run" in capsys.readouterr().err
