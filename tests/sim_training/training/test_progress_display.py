"""What a person, or a log file, sees of a training run."""

import io

import numpy as np
import pytest
from rich.console import Console

from sim_training.training import progress_display
from sim_training.training.progress_display import LineDisplay, TerminalDisplay, make_display
from sim_training.training.training_progress import TrainingProgress


@pytest.fixture
def progress() -> TrainingProgress:
    progress = TrainingProgress.at_first_obs(np.zeros((1, 2), dtype=np.float32))
    progress.step = 250
    return progress


def test_line_tells_step_speed_time_left_and_return(
    progress: TrainingProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    LineDisplay(steps=1000).show(progress, steps_per_s=10.0, training_return=-3.25)

    line = capsys.readouterr().out
    assert line == "step 250/1000, 10 steps/s, 0:01:15 left, return -3.2\n"


def test_file_gets_a_line_now_and_then(
    progress: TrainingProgress,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: now_s)
    display = LineDisplay(steps=1000)
    assert not display.is_due()
    now_s += progress_display.LINE_PERIOD_S
    assert display.is_due()

    display.show(progress, steps_per_s=0.0, training_return=None)

    assert not display.is_due()
    assert capsys.readouterr().out == "step 250/1000\n"


def test_terminal_gets_a_bar_and_lines_above_it(progress: TrainingProgress) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with TerminalDisplay(console, steps=1000) as display:
        assert display.is_due()
        display.show(progress, steps_per_s=10.0, training_return=7.0)
        assert not display.is_due()
        display.say("[brackets] stay")

    assert "25%" in screen.getvalue()
    assert "0:01:15 left" in screen.getvalue() and "return 7.0" in screen.getvalue()
    assert "[brackets] stay" in screen.getvalue()


def test_pipe_gets_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    with make_display(steps=10) as display:
        display.say("one line")

    assert capsys.readouterr().out == "one line\n"
