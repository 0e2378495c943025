"""The generated reference lists everything that the code declares, and no more."""

import dataclasses
import importlib
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import metric_reference
import node_reference
import option_reference
import pytest
import source_reader
import task_file_reference
from source_reader import DocumentationError
from source_tree import ROOT

from sac_ros.command_line import SUBCOMMANDS
from sac_ros.task.task_spec import load_task

EXAMPLES = sorted((ROOT / "docs" / "reference" / "examples").glob("*.yaml"))


def loaded_class(module: str, name: str) -> type:
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("block", task_file_reference.BLOCKS, ids=lambda block: block.cls)
def test_every_key_of_a_task_file_is_documented(block: task_file_reference.Block) -> None:
    declared = [field.name for field in dataclasses.fields(loaded_class(block.module, block.cls))]
    assert [f.name for f in source_reader.fields(block.module, block.cls)] == declared

    text = task_file_reference.task_file_reference()
    section = text.partition(f"## {block.title}\n")[2].partition("\n## ")[0]
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == (
        declared
    )


def test_a_key_without_a_docstring_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = source_reader.Field(name="bare", type="str", default=None, doc="", module="sac_ros")
    monkeypatch.setattr(task_file_reference, "fields", lambda module, cls: [bare])
    with pytest.raises(DocumentationError, match="bare has no docstring"):
        task_file_reference.task_file_reference()


def test_a_number_without_a_unit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = source_reader.Field(
        name="speed", type="float", default=None, doc="How fast.", module="sac_ros"
    )
    monkeypatch.setattr(task_file_reference, "fields", lambda module, cls: [bare])
    with pytest.raises(DocumentationError, match="speed is a number without a unit"):
        task_file_reference.task_file_reference()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_a_valid_task(path: Path) -> None:
    assert load_task(str(path)).name == path.stem


@pytest.mark.parametrize("name", option_reference.DATACLASSES)
def test_every_option_is_documented(name: str) -> None:
    module, cls = option_reference.DATACLASSES[name]
    text = io.StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit):
        importlib.import_module(SUBCOMMANDS[name][0]).main(["--help"])
    # Deeper lines are sentences, which may begin with the name of an option.
    listed = re.findall(r"^[│ ]{0,4}(--\w[\w.-]*)", text.getvalue(), re.MULTILINE)
    documented = {
        f"--{option}"
        for option, field in option_reference.options(module, cls)
        if "Positional" not in field.type
    }
    # The hyperparameters of `train` have a page, and a test, of their own.
    assert {option for option in listed if not option.startswith("--sac.")} == documented


def test_every_subcommand_is_documented() -> None:
    assert set(option_reference.subcommands()) == set(SUBCOMMANDS)
    assert option_reference.DATACLASSES.keys() | option_reference.PARSERS.keys() == set(SUBCOMMANDS)


@pytest.mark.parametrize("algorithm", option_reference.ALGORITHMS)
def test_every_hyperparameter_is_documented(algorithm: str) -> None:
    module, cls = option_reference.ALGORITHMS[algorithm]
    declared = [field.name for field in dataclasses.fields(loaded_class(module, cls))]
    assert [field.name for field in source_reader.fields(module, cls)] == declared


@pytest.mark.parametrize("algorithm", metric_reference.LEARNERS)
def test_every_metric_is_documented(algorithm: str) -> None:
    declared = dataclasses.fields(loaded_class(*metric_reference.LEARNERS[algorithm]))
    section = metric_reference.loss_reference().partition(f"`--algorithm {algorithm}`")[2]
    for field in declared:
        assert f"`losses/{field.name}`" in section.partition("###")[0]
    assert "`eval/return_mean`" in metric_reference.scalar_reference()


def test_a_topic_that_the_table_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = [*node_reference.declared_interfaces(), "policy_node: publisher(Bool, 'new')"]
    monkeypatch.setattr(node_reference, "declared_interfaces", lambda: declared)
    with pytest.raises(DocumentationError, match=r"publisher\(Bool, 'new'\)"):
        node_reference.interface_reference()


def test_every_topic_and_service_is_documented() -> None:
    text = node_reference.interface_reference()
    assert "`~/transitions`" in text and "`~/reset_estop`" in text


@pytest.mark.parametrize("node", node_reference.NODES)
def test_every_parameter_is_documented(node: str) -> None:
    section = node_reference.parameter_reference().partition(f"## `{node}`\n")[2]
    section = section.partition("\n## ")[0]
    declared = node_reference.declared_parameters(node_reference.NODES[node])
    assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == [
        parameter.name for parameter in declared
    ]
    assert all(parameter.description for parameter in declared)
