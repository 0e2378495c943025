from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from sac_ros.task.strict_yaml import ConfigError, parse_mapping, read_yaml, to_mapping


@dataclass(frozen=True, kw_only=True)
class Inner:
    unit: str = "m"


@dataclass(frozen=True, kw_only=True)
class Example:
    gamma: float
    steps: int = 3
    sizes: tuple[int, ...] = (1, 2)
    bounds: tuple[float, float] | None = None
    mode: Literal["a", "b"] = "a"
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.gamma > 1.0:
            raise ValueError(f"gamma must be at most 1, got {self.gamma}")


def refusal(mapping: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_mapping(mapping, Example, "file.yaml")
    return str(caught.value)


def test_mapping_survives_the_way_there_and_back() -> None:
    example = Example(gamma=0.5, sizes=(7,), bounds=(-1.0, 2.0), mode="b", inner=Inner(unit="s"))
    assert parse_mapping(to_mapping(example), Example, "here") == example


def test_whole_number_is_accepted_where_a_float_is_expected() -> None:
    assert parse_mapping({"gamma": 1}, Example, "here").gamma == 1.0


def test_unknown_key_is_named_with_a_suggestion() -> None:
    assert "'gama'" in refusal({"gama": 0.9}) and "'gamma'" in refusal({"gama": 0.9})


def test_missing_key_is_named() -> None:
    assert "missing keys ['gamma']" in refusal({})


def test_exponent_that_yaml_reads_as_text_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("gamma: 3e-4\n")
    with pytest.raises(ConfigError, match=r"write 3\.0e-4"):
        read_yaml(path, Example)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gamma", True),
        ("gamma", None),
        ("steps", 1.5),
        ("steps", True),
        ("sizes", 3),
        ("sizes", ["1"]),
        ("bounds", [1.0]),
        ("mode", "c"),
        ("inner", "m"),
        ("inner", {"unit": 3}),
    ],
)
def test_wrong_type_is_refused_with_its_key(key: str, value: object) -> None:
    message = refusal({"gamma": 0.5, key: value})
    assert message.startswith(f"file.yaml: {key}") and "\n" not in message


def test_value_refused_by_the_dataclass_names_the_file() -> None:
    assert refusal({"gamma": 2.0}) == "file.yaml: gamma must be at most 1, got 2.0"


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\t: x"])
def test_file_that_holds_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"file\.yaml"):
        read_yaml(path, Example)


def test_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(Path("/nowhere/file.yaml"), Example)
