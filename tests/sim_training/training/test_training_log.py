"""A resumed run goes on with its curves where its checkpoint was."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sim_training.evaluation.evaluation import Evaluation
from sim_training.evaluation.rollout import Episode
from sim_training.training.run_folder import RunFolder
from sim_training.training.training_log import TrainingLog
from sim_training.training.training_progress import TrainingProgress


def evaluation(step: int) -> Evaluation:
    episodes = [Episode(episode_return=1.0, length=10), Episode(episode_return=4.0, length=30)]
    return Evaluation.of(episodes, step=step, wall_s=0.5)


@pytest.fixture
def resumed(tmp_path: Path) -> Path:
    """A run that saved at step 200, evaluated at 300, was killed, and evaluated there again."""
    folder = RunFolder(tmp_path)
    progress = TrainingProgress.at_first_obs(np.zeros((1, 2), dtype=np.float32))
    with TrainingLog(folder, progress) as log:
        for step in (100, 200, 300):
            log.evaluation(evaluation(step))
    progress.step = 200
    progress.evaluations = [evaluation(100), evaluation(200)]
    with TrainingLog(folder, progress) as log:
        log.evaluation(evaluation(300))
    return tmp_path


def test_each_evaluation_is_one_row_of_progress_csv(resumed: Path) -> None:
    lines = (resumed / "progress.csv").read_text().splitlines()

    assert lines[0].split(",") == [field.name for field in dataclasses.fields(Evaluation)]
    assert lines[1] == "100,0.5,2.5,1.5,20.0,1.0,4.0"
    assert [line.split(",")[0] for line in lines[1:]] == ["100", "200", "300"]


def test_each_evaluation_is_one_point_of_the_curve(resumed: Path) -> None:
    curve = EventAccumulator(str(resumed)).Reload().Scalars("eval/return_mean")

    assert [(event.step, event.value) for event in curve] == [(100, 2.5), (200, 2.5), (300, 2.5)]
