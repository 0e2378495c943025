"""The table and curves of the returns benchmark, safe with several processes that write them."""

import csv
import dataclasses
import fcntl
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from benchmarks.machine import Machine
from sac_ros.atomic_write import replace_text
from sac_ros.policy.contract import PolicyContract
from sac_ros.task.strict_yaml import parse_mapping
from sim_training.run_report.figure_style import figure_style, write_png
from sim_training.run_report.figures import learning_curves
from sim_training.run_report.run_groups import RunGroup
from sim_training.run_report.run_history import RunHistory
from sim_training.training.run_folder import RunFolder

SESSIONS = "sessions.json"


@dataclass(frozen=True, kw_only=True)
class Session:
    """One process that trained a run, from its start or its resumption on."""

    began_utc: str
    commit: str
    machine: str

    @classmethod
    def begun_on(cls, machine: Machine) -> "Session":
        """Describe this process, which is about to train."""
        packages = " ".join(f"{name} {version}" for name, version in machine.packages.items())
        return cls(
            began_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            commit=machine.git_commit,
            machine=(
                f"{machine.cpu}, {machine.num_cores} cores, load {machine.load_average_1min:.1f}"
                f" before, Python {machine.python}, {packages}"
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run."""

    name: str
    seed: int
    status: str
    """complete, or partial: stopped before the steps that were wanted."""
    steps: int
    """Behind the evaluated policy."""
    steps_wanted: int
    return_mean: float
    return_std: float
    """Population standard deviation over the episodes."""
    return_min: float
    return_max: float
    training_mean: float | None
    """Of the training episodes in the last fifth of the steps, which explore: what CleanRL's tables
    show. None where none ended there."""
    training_std: float | None
    episodes: int
    train_wall_s: float
    """Interruptions excluded; a machine shared with other work included."""
    commit: str
    """Of every session that trained."""
    command: str
    machine: str
    """Of every session that trained."""
    algorithm: str
    written_utc: str

    @classmethod
    def of(
        cls,
        *,
        title: str,
        seed: int,
        steps_wanted: int,
        returns: Sequence[float],
        training_returns: Sequence[float],
        contract: PolicyContract,
        sessions: Sequence[Session],
    ) -> "Row":
        """Summarise the evaluation of one run's policy, and the end of its training."""
        provenance = contract.provenance
        return cls(
            name=title,
            seed=seed,
            status="complete" if provenance.steps >= steps_wanted else "partial",
            steps=provenance.steps,
            steps_wanted=steps_wanted,
            return_mean=round(float(np.mean(returns)), 2),
            return_std=round(float(np.std(returns)), 2),
            return_min=round(min(returns), 2),
            return_max=round(max(returns), 2),
            training_mean=round(float(np.mean(training_returns)), 2) if training_returns else None,
            training_std=round(float(np.std(training_returns)), 2) if training_returns else None,
            episodes=len(returns),
            train_wall_s=round(provenance.training_run_s or 0.0, 1),
            commit=" then ".join(dict.fromkeys(session.commit for session in sessions)),
            command=provenance.command,
            machine=" then ".join(dict.fromkeys(session.machine for session in sessions)),
            algorithm=provenance.algorithm,
            written_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )

    def __str__(self) -> str:
        text = (
            f"{self.name}, seed {self.seed}, {self.status}: {self.return_mean} ± {self.return_std}"
            f" over {self.episodes} episodes after {self.steps} of {self.steps_wanted} steps"
        )
        if self.training_mean is None:
            return text
        return f"{text}; last training episodes {self.training_mean} ± {self.training_std}"


def add_session(folder: RunFolder, session: Session) -> None:
    """Note in the run's folder that a process begins to train it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    sessions = [*read_sessions(folder), session]
    content = [dataclasses.asdict(item) for item in sessions]
    replace_text(folder.path / SESSIONS, json.dumps(content, indent=1) + "\n")


def read_sessions(folder: RunFolder) -> list[Session]:
    """Return the processes that have trained a run, in order."""
    path = folder.path / SESSIONS
    if not path.exists():
        return []
    return [parse_mapping(item, Session, str(path)) for item in json.loads(path.read_text())]


def write_row(path: Path, row: Row) -> None:
    """Put a row into the table, in the place of an earlier one of the same run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in dataclasses.fields(Row)]
    with _locked(path.parent):
        rows = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        rows = [old for old in rows if (old["name"], old["seed"]) != (row.name, str(row.seed))]
        rows = sorted(
            [*rows, dataclasses.asdict(row)], key=lambda item: (item["name"], int(item["seed"]))
        )
        table = io.StringIO()
        # Rows that were written before there was a column have nothing in it.
        writer = csv.DictWriter(table, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        replace_text(path, table.getvalue())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes, which may write down another seed at this moment, waiting."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_curves(stem: Path, title: str, histories: Sequence[RunHistory]) -> None:
    """Write the evaluations of all seeds, as STEM.csv and as a figure, STEM.png."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    first = histories[0].evaluations[0]
    writer.writerow(["seed", *(field.name for field in dataclasses.fields(first))])
    for history in histories:
        for evaluation in history.evaluations:
            writer.writerow([history.config.seed, *dataclasses.astuple(evaluation)])
    replace_text(stem.with_name(f"{stem.name}.csv"), table.getvalue())
    group = RunGroup(label=title, runs=tuple(histories))
    with figure_style():
        figure = learning_curves([group], histories[0].task.success_return)
        figure.axes[0].set_title(f"{title}: {len(histories)} seed{'s' * (len(histories) > 1)}")
        write_png(figure, stem.with_name(f"{stem.name}.png"))
