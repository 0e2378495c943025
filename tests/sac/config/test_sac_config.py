from pathlib import Path

import pytest
import yaml
from source_tree import ROOT

from sac_ros.sac.config.algorithm_config import CONFIGS, AlgorithmName
from sac_ros.sac.config.sac_config import SACConfig
from sac_ros.sac.config.sac_discrete_config import SACDiscreteConfig
from sac_ros.task.strict_yaml import ConfigError, read_yaml

SHIPPED = ROOT / "config"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 0.0),
        ("gamma", 1.0),
        ("tau", 0.0),
        ("tau", 1.1),
        ("actor_learning_rate", 0.0),
        ("critic_learning_rate", -1.0),
        ("alpha_learning_rate", float("inf")),
        ("batch_size", 0),
        ("hidden_sizes", ()),
        ("hidden_sizes", (64, 0)),
        ("num_critics", 1),
        ("initial_alpha", 0.0),
        ("fixed_alpha", -0.1),
        ("fixed_alpha", float("nan")),
        ("target_entropy", float("nan")),
        ("buffer_capacity", 255),
        ("learning_starts", -1),
        ("utd_ratio", 0.0),
        ("utd_ratio", float("nan")),
    ],
)
def test_bad_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        SACConfig(**{name: value})


@pytest.mark.parametrize("algorithm", CONFIGS)
def test_shipped_file_says_the_defaults_and_leaves_none_out(algorithm: AlgorithmName) -> None:
    path, config = SHIPPED / f"{algorithm}.yaml", CONFIGS[algorithm]

    assert read_yaml(path, config) == config()
    assert set(yaml.safe_load(path.read_text())) == set(config.__dataclass_fields__)


def test_misspelt_key_is_refused_with_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "sac.yaml"
    path.write_text("gama: 0.98\n")

    with pytest.raises(ConfigError, match=r"sac\.yaml.*gama"):
        read_yaml(path, SACConfig)


def test_shipped_file_with_cleanrls_rates_differs_from_the_defaults_by_nothing_else() -> None:
    path = SHIPPED / "sac_cleanrl.yaml"

    assert read_yaml(path, SACConfig) == SACConfig(
        critic_learning_rate=1.0e-3, alpha_learning_rate=1.0e-3
    )
    assert set(yaml.safe_load(path.read_text())) == set(SACConfig.__dataclass_fields__)


@pytest.mark.parametrize("name", ["sac_atari.yaml", "sac_atari_100k.yaml"])
def test_shipped_file_for_atari_says_everything_too(name: str) -> None:
    path = SHIPPED / name

    assert read_yaml(path, SACDiscreteConfig).encoder == "nature_cnn"
    assert set(yaml.safe_load(path.read_text())) == set(SACDiscreteConfig.__dataclass_fields__)
