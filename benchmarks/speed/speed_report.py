"""Rates of a speed benchmark as a table, a CSV and a JSON."""

import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine

FEATURES: Final = ("avx2", "avx512_f", "avx512_bf16", "amx_tile", "amx_bf16")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing measured, several times."""

    what: str
    threads: int
    unit: str
    rates: list[float]
    """One a round."""
    ratios: dict[str, float] = field(default_factory=dict)
    """Of medians of the same run, by what they are ratios to."""

    @property
    def median(self) -> float:
        """Of the rates."""
        return statistics.median(self.rates)


def processor_features() -> list[str]:
    """Return which of the vector and matrix instructions that matter here this processor has."""
    capabilities = torch.cpu.get_capabilities()
    return [name for name in FEATURES if capabilities.get(name)]


def print_table(console: Console, rows: Sequence[Row]) -> None:
    """Print one line a row, with a column for each ratio that any row has."""
    ratio_names = _ratio_names(rows)
    table = Table()
    for column in ("what", "threads", "median", "min", "max", "unit", *ratio_names):
        table.add_column(column)
    for row in rows:
        rates = (row.median, min(row.rates), max(row.rates))
        ratios = (f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in ratio_names)
        table.add_row(
            row.what, str(row.threads), *(f"{rate:.1f}" for rate in rates), row.unit, *ratios
        )
    console.print(table)


def write_report(
    folder: Path, name: str, machine: Machine, features: Sequence[str], rows: Sequence[Row]
) -> None:
    """Write NAME.csv, one line a row, and NAME.json, with every rate and the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    ratio_names = _ratio_names(rows)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("what", "threads", "unit", "median", "min", "max", *ratio_names))
        for row in rows:
            rates = (f"{rate:.1f}" for rate in (row.median, min(row.rates), max(row.rates)))
            ratios = (f"{row.ratios[key]:.3f}" if key in row.ratios else "" for key in ratio_names)
            writer.writerow((row.what, row.threads, row.unit, *rates, *ratios))
    report = {
        "machine": asdict(machine) | {"features": list(features)},
        "rows": [asdict(row) | {"median": row.median} for row in rows],
    }
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _ratio_names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.ratios))
