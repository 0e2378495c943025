"""Every option of every `sac-ros` subcommand, from the dataclasses and parsers that read them."""

import argparse
import ast
import importlib

from markdown_table import code, table
from source_reader import (
    DocumentationError,
    Field,
    choices,
    fields,
    is_ours,
    module_tree,
    origin,
)

DATACLASSES = {
    "train": ("sim_training.training.train_options", "TrainOptions"),
    "evaluate": ("sim_training.commands.evaluate", "EvaluateOptions"),
    "film": ("sim_training.commands.film", "FilmOptions"),
    "export": ("sim_training.commands.export", "ExportOptions"),
    "report": ("sim_training.commands.report", "ReportOptions"),
    "tune": ("sim_training.commands.tune", "TuneOptions"),
    "demo": ("sim_training.commands.demo", "DemoOptions"),
    "demo-finetune": ("sim_training.commands.finetune_demo", "FinetuneDemoOptions"),
}
PARSERS = {"doctor": "sac_ros.doctor.command", "bag-to-buffer": "sac_ros.bags.command"}
"""Subcommands whose module has an argparse parser, from its function `make_parser`."""
ALGORITHMS = {
    "sac": ("sac_ros.sac.config.sac_config", "SACConfig"),
    "sac_v1": ("sac_ros.sac.config.sac_v1_config", "SACV1Config"),
    "sac_discrete": ("sac_ros.sac.config.sac_discrete_config", "SACDiscreteConfig"),
}
HEADER = ("option", "type", "default", "meaning")
NOTHING = "none"


def option_reference() -> str:
    """Return a table of options for each subcommand."""
    parts = []
    for name, purpose in subcommands().items():
        if name in DATACLASSES:
            body = table(HEADER, _rows(*DATACLASSES[name], prefix=""))
        elif name in PARSERS:
            body = table(HEADER, _parser_rows(PARSERS[name]))
        else:
            raise DocumentationError(f"the documentation does not know how to list sac-ros {name}")
        parts.append(f"## `sac-ros {name}`\n\n{purpose[0].upper()}{purpose[1:]}.\n\n{body}")
    return "\n".join(parts)


def hyperparameter_reference() -> str:
    """Return a table of hyperparameters for each algorithm; `--sac.NAME`, or a YAML key."""
    parts = []
    for name, (module, cls) in ALGORITHMS.items():
        rows = _rows(module, cls, prefix="sac.")
        parts.append(f"## `--algorithm {name}`\n\n{table(HEADER, rows)}")
    return "\n".join(parts)


def fine_tuning_reference() -> str:
    """Return the keys of the recipe for learning on a robot."""
    rows = [
        (code(field.name), code(field.type), code(field.default or "required"), field.doc)
        for field in fields("sac_ros.sac.on_robot.fine_tuning_config", "FineTuningConfig")
    ]
    return table(("key", "type", "default", "meaning"), rows)


def subcommands() -> dict[str, str]:
    """Return the subcommands, each with its purpose."""
    for node in module_tree("sac_ros.command_line").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SUBCOMMANDS":
            return {name: purpose for name, (_, purpose) in ast.literal_eval(node.value).items()}
    raise DocumentationError("sac_ros/command_line.py has no SUBCOMMANDS")


def options(module: str, cls: str, prefix: str = "") -> list[tuple[str, Field]]:
    """Return each option with its name, `perturbation.gravity` for one of a nested dataclass."""
    found: list[tuple[str, Field]] = []
    for field in fields(module, cls):
        nested = _nested(field)
        if "Suppress" in field.type or field.name == "sac":
            continue  # the algorithm's hyperparameters have a page of their own
        if nested is not None:
            inner = prefix if 'name=""' in field.type or "name=''" in field.type else field.name
            inner = inner if inner in ("", prefix) else f"{prefix}{inner}."
            found += options(*nested, prefix=inner)
        else:
            found.append((f"{prefix}{field.name}".replace("_", "-"), field))
    return found


def _rows(module: str, cls: str, prefix: str) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, field in options(module, cls, prefix):
        if not field.doc:
            raise DocumentationError(f"{field.module}: {field.name} has no docstring")
        shown = code(field.name.upper() if "Positional" in field.type else f"--{name}")
        if field.type == "bool":
            shown += f", {code(f'--no-{name}')}"
        default = "required" if field.default is None else _shown_default(field.default)
        rows.append((shown, code(_type(field)), default, field.doc))
    return rows


def _nested(field: Field) -> tuple[str, str] | None:
    """Return module and class of a field that is a dataclass of options itself."""
    name = field.type.removeprefix("Annotated[").partition(",")[0].partition("[")[0]
    where = origin(field.module, name)
    if not is_ours(where):
        return None
    is_class = any(
        isinstance(node, ast.ClassDef) and node.name == name for node in module_tree(where).body
    )
    return (where, name) if is_class else None


def _type(field: Field) -> str:
    text = field.type
    if text.startswith("Annotated["):
        text = ast.unparse(ast.parse(text, mode="eval").body.slice.elts[0])  # type: ignore[attr-defined]
    text = text.replace(" | None", "").replace("tuple[", "").replace(", ...]", " …")
    literal = choices(field.module, text)
    if literal is not None:
        text = literal
    if text in ("Range", "bool"):
        return {"Range": "LOW HIGH", "bool": "flag"}[text]
    return text.replace("Literal[", "").replace("]", "").replace("'", "").replace(", ", "|")


def _shown_default(default: str) -> str:
    text = default.removeprefix("Path").strip("()").replace(", ", " ")
    return NOTHING if text in ("None", "") else code(text.replace("'", ""))


def _parser_rows(module: str) -> list[tuple[str, str, str, str]]:
    parser: argparse.ArgumentParser = importlib.import_module(module).make_parser()
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        shown = action.option_strings[0] if action.option_strings else action.dest.upper()
        kind = "|".join(action.choices) if action.choices else _kind(action)
        default = NOTHING if action.default in (None, "", [], False) else code(str(action.default))
        text = str(action.help).replace(" (default: %(default)s)", "")
        required = not action.option_strings
        rows.append((code(shown), code(kind), "required" if required else default, text))
    return rows


def _kind(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "flag"
    return getattr(action.type, "__name__", "str") if action.type else "str"
