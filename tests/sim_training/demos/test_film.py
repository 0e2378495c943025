"""The film of a demonstration, made from joint positions that were heard over ROS."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from sac_ros.errors import InputError
from sac_ros.nodes.recorders.joint_recording import JointRecording
from sim_training.demos.film import film_run
from sim_training.demos.joint_film import HEIGHT, WIDTH, read_joint_record

TASK = "inverted_pendulum"


def write_recording(path: Path, num_messages: int = 50) -> Path:
    """Record a pole that leans further and further, in messages 0.02 s apart from 100 s on."""
    recording = JointRecording()
    for index in range(num_messages):
        nanosec = index * 20_000_000
        stamp = SimpleNamespace(sec=100 + nanosec // 10**9, nanosec=nanosec % 10**9)
        message = SimpleNamespace(
            header=SimpleNamespace(stamp=stamp),
            name=["slider", "hinge"],
            position=[0.5, 0.01 * index],
        )
        recording.add(message, arrival_s=0.0)
    recording.write(path)
    return path


def read_frames(film: Path) -> NDArray[np.int16]:
    """Return the pictures [N, H, 2 W, 3] of a film with two panels."""
    raw = subprocess.run(
        [
            get_ffmpeg_exe(),
            *("-v", "error", "-i", film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
        ],
        capture_output=True,
        check=True,
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, 2 * WIDTH, 3).astype(np.int16)


def test_recorded_positions_are_found_by_their_stamps(tmp_path: Path) -> None:
    record = read_joint_record(write_recording(tmp_path / "joints.csv"))

    assert record.joints == ("slider", "hinge")
    assert record.at(0.0) == {"slider": 0.5, "hinge": 0.0}
    assert record.at(0.03)["hinge"] == pytest.approx(0.01)  # the newest, as none is newer yet
    assert record.at(10.0)["hinge"] == pytest.approx(0.49)


def test_recording_without_messages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no joint positions"):
        read_joint_record(write_recording(tmp_path / "joints.csv", num_messages=0))


def test_film_shows_both_recordings_side_by_side_in_real_time(tmp_path: Path) -> None:
    leaning = write_recording(tmp_path / "leaning.csv")
    upright = write_recording(tmp_path / "upright.csv", num_messages=1)
    path = tmp_path / "film.mp4"

    line = film_run(TASK, {"leaning": leaning, "upright": upright}, path, duration_s=0.4)

    if not path.exists():  # a machine without OpenGL: one line says so, and how to get it
        assert line.startswith("no film: ") and "libegl1" in line and "\n" not in line
        return
    assert line.startswith(f"film: {path}")
    frames = read_frames(path)
    assert len(frames) == 10  # 25 frames per second
    # Below the title and above the caption, only the leaning pole moves.
    change = np.abs(frames[-1] - frames[0])[60:300].sum(axis=(0, 2))
    assert change[:WIDTH].sum() > 10 * change[WIDTH:].sum()


def test_machine_without_opengl_gets_one_line_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "no_such_renderer")
    recording = write_recording(tmp_path / "joints.csv")

    line = film_run(TASK, {"robot": recording}, tmp_path / "film.mp4", duration_s=0.2)

    assert line.startswith("no film: this machine cannot draw with OpenGL")
    assert "no_such_renderer" in line and "sudo apt install libegl1" in line
    assert "\n" not in line
    assert not (tmp_path / "film.mp4").exists()
