"""The log of a training run: TensorBoard scalars and progress.csv."""

import csv
import dataclasses
import io
import time
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from sac_ros.atomic_write import replace_text
from sac_ros.sac.learners.learner_protocol import Metrics
from sim_training.evaluation.evaluation import Evaluation
from sim_training.evaluation.rollout import Episode
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_progress import TrainingProgress


class TrainingLog:
    """Writes the curves of one run, and continues them after a resume."""

    def __init__(self, folder: RunFolder, progress: TrainingProgress) -> None:
        self.steps_per_s = 0.0
        """Environment steps per second between the last two logged points."""
        self._progress_csv = folder.progress_csv
        self._point_step, self._point_s = progress.step, time.monotonic()
        # TensorBoard then discards points that a killed run wrote after its last checkpoint.
        self._tensorboard = SummaryWriter(str(folder.path), purge_step=progress.step + 1)
        # Rewritten from the checkpoint: rows that a killed run added after it come again.
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(field.name for field in dataclasses.fields(Evaluation))
        writer.writerows(dataclasses.astuple(row) for row in progress.evaluations)
        replace_text(self._progress_csv, table.getvalue())

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tensorboard.close()

    def episode(self, step: int, episode: Episode) -> None:
        """Log a training episode, which includes exploration."""
        self._scalars(
            step,
            {
                "charts/episodic_return": episode.episode_return,
                "charts/episodic_length": episode.length,
            },
        )

    def speed(self, progress: TrainingProgress) -> None:
        """Log environment steps per second since the previous point, evaluations included."""
        now_s = time.monotonic()
        self.steps_per_s = (progress.step - self._point_step) / (now_s - self._point_s)
        self._point_step, self._point_s = progress.step, now_s
        self._scalars(progress.step, {"charts/SPS": self.steps_per_s})

    def update(self, step: int, metrics: Metrics) -> None:
        """Log the metrics of the latest update."""
        values = dataclasses.asdict(metrics)
        self._scalars(step, {f"losses/{name}": value for name, value in values.items()})

    def evaluation(self, evaluation: Evaluation) -> None:
        """Log an evaluation in TensorBoard and as a row of progress.csv."""
        self._scalars(
            evaluation.step,
            {
                "eval/return_mean": evaluation.return_mean,
                "eval/return_std": evaluation.return_std,
                "eval/episode_length_mean": evaluation.episode_length_mean,
            },
        )
        with self._progress_csv.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(dataclasses.astuple(evaluation))

    def flush(self) -> None:
        """Write all points to disk; after a resume, points before the checkpoint do not repeat."""
        self._tensorboard.flush()

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, step)
