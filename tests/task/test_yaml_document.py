"""YAML fails closed: whatever a file holds, it is read as written or refused in one line."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.task.package_share import package_share
from sac_ros.task.task_spec import load_task
from sac_ros.task.yaml_document import (
    MAX_BYTES,
    MAX_DEPTH,
    ConfigError,
    line_of,
    parse_yaml,
    read_mapping,
)

TASK = (package_share() / "config/tasks/half_cheetah.yaml").read_text()


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "file.yaml")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("file.yaml, line ")
    return message


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("high: 1\nlow: 0\nhigh: 2\n", 3, "'high' a second time, first on line 1"),
        ("a:\n  b: {c: 1,\n    'c': 2}\n", 3, "'c' a second time"),
        ("a:\n  - {x: 1}\n  - {x: 1, x: 1}\n", 3, "'x' a second time"),
        ("? x\n: 1\n? x\n: 2\n", 3, "'x' a second time"),
        ("a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\n", 3, "brings the key 'x' twice"),
        ("a: &a {x: 1}\nc:\n  <<: *a\n  <<: *a\n", 4, "brings the key 'x' twice"),
        ("c:\n  <<: 3\n", 2, "needs a mapping"),
        ("a: 1\n2: 3\n", 2, "the key '2' as 2; put it in quotes"),
        ("a: 1\non: 3\n", 2, "the key 'on' as True"),
        ("a: 1\n~: 3\n", 2, "the key '~' as None"),
        ("? [1, 2]\n: 3\n", 1, "a list or mapping as a key"),
        ("a: 1\nb: 1" + "0" * 400, 2, "a number of 401 characters"),
        ("a: 1" + "0" * 5000, 1, "a number of 5001 characters"),
        ("a: 99999999999999999999", 1, "too large"),
        ("a: 1.0e+400", 1, "too large"),
        ("a: 0100", 1, "octal or base 60"),
        ("a: 1:30", 1, "octal or base 60"),
        ("a: 1:30.5", 1, "no decimal number"),
        ("x: 1\na: " + "[" * 3000, 2, f"nested more than {MAX_DEPTH} levels"),
        ("x: 1\na: " + "{a: " * 3000, 2, f"nested more than {MAX_DEPTH} levels"),
        ("a: &a [*a]", 1, "nested more than"),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 99)), 1, "alias"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: 1\n\tb: 2\n", 2, "indent with spaces"),
        ("a: [1, 2\nb: 3\n", 2, ""),
        ("a: 'never closed\n", 2, ""),
        ("a: 1\nb: \x01", 2, "not allowed"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !!set {x}", 1, "tag"),
        ("a: !!float nonsense", 1, "no decimal number"),
        ('a: "\\UFFFFFFFF"', 1, ""),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", 1, ""),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
    ],
)
def test_trap_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    message = refusal(text)
    assert reason in message
    assert message.startswith(f"file.yaml, line {line}: ") or reason == "alias"


def test_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )
    assert "values" in refusal(bomb)


def test_alias_and_merge_key_are_read_as_yaml_defines_them() -> None:
    text = "joints: &j [hip, knee]\nagain: *j\nbase: &b {low: 1, high: 2}\narm: {<<: *b, high: 3}\n"
    content = parse_yaml(text, "file.yaml")
    assert content == yaml.safe_load(text)
    assert line_of(content, "again") == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0", 0),
        ("2.5e-3", 0.0025),
        ("yes", True),
        ("~", None),
        (".inf", math.inf),
        ("2020-01-01", "2020-01-01"),
        ("3e-4", "3e-4"),
        ("=", "="),
        ("''", ""),
    ],
)
def test_scalar_is_read_as_written(text: str, value: object) -> None:
    assert parse_yaml(f"a: {text}", "file.yaml") == {"a": value}


def test_every_shipped_file_is_read_as_before() -> None:
    files = sorted((package_share() / "config").rglob("*.yaml"))
    assert len(files) > 15
    for file in files:
        assert read_mapping(file) == yaml.safe_load(file.read_text())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: 1\nb: \xff\xfe\n", ", line 2: not UTF-8"),
        (b"\xff\xfea\x00:\x00", "line 1: not UTF-8"),
        (b"a: " + b"x" * MAX_BYTES, "bytes"),
        (b"", "holds nothing, expected a mapping"),
        (b"- 1\n", "holds a list, expected a mapping"),
        (b"text", "holds a str, expected a mapping"),
    ],
)
def test_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_mapping(path)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/dev/zero", ".", "a\0b.yaml"])
def test_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        read_mapping(Path(path))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab01:-?[]{}&*!|>'\"%#,\n\t .<~\\\x00\x85é"), max_size=60))
def test_any_text_is_a_value_or_a_refusal_in_one_line(text: str) -> None:
    try:
        parse_yaml(text, "file.yaml")
    except ConfigError as error:
        assert "\n" not in str(error) and str(error).startswith("file.yaml")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_doubling_any_key_of_a_task_is_refused(data: st.DataObject) -> None:
    lines = TASK.splitlines()
    keyed = [i for i, line in enumerate(lines) if line.strip() and ": " in line.split("#")[0]]
    number = data.draw(st.sampled_from([i for i in keyed if not lines[i].lstrip().startswith("-")]))
    doubled = "\n".join([*lines[: number + 1], lines[number], *lines[number + 1 :]])
    assert "a second time" in refusal(doubled)


@pytest.mark.parametrize("key", ["low", "high", "rate_limit"])
def test_second_limit_does_not_replace_the_first(tmp_path: Path, key: str) -> None:
    second = f"  {key}: [{', '.join(['9999.0'] * 6)}]\n"
    path = tmp_path / "task.yaml"
    path.write_text(
        TASK.replace("  safe_command:", second * (1 + (key == "rate_limit")) + "  safe_command:")
    )
    with pytest.raises(ConfigError, match=rf"line \d+: key '{key}' a second time"):
        load_task(str(path))
