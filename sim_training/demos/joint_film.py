"""Films a robot from joint positions that were recorded over ROS; a process of its own.

    python -m sim_training.demos.joint_film --task T --out F.mp4 --seconds 12 TITLE=CSV ...

MuJoCo chooses its renderer when it is imported, and an OpenGL driver may crash: neither may touch
the process that trains. Shapes: T recorded messages, J joints, H height and W width in pixels.
"""

import argparse
import csv
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sac_ros.errors import InputError
from sac_ros.task.task_spec import load_task
from sim_training.evaluation.film_file import FilmFile
from sim_training.evaluation.video import choose_renderer

FRAMES_HZ = 25.0
HEIGHT, WIDTH = 360, 480
ADVICE = "to get a film, install it: sudo apt install libegl1"
TEXT_COLOUR = (60, 66, 74)


@dataclass(frozen=True, kw_only=True)
class JointRecord:
    """Joint positions over time, as the episode recorder heard them."""

    joints: tuple[str, ...]
    times_s: NDArray[np.float64]
    """Stamps [T] of the messages, from 0 on."""
    positions: NDArray[np.float64]
    """[T, J] in rad or m."""

    def at(self, time_s: float) -> dict[str, float]:
        """Return the newest positions at a time, by joint."""
        index = max(0, int(np.searchsorted(self.times_s, time_s + 1e-9, side="right")) - 1)
        return dict(zip(self.joints, self.positions[index], strict=True))


def read_joint_record(path: Path) -> JointRecord:
    """Read a CSV file of the episode recorder; raise InputError if it holds no message."""
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file))
    rows = np.array([[float(word) for word in line] for line in lines])
    if not len(rows):
        raise InputError(f"{path} holds no joint positions: none was heard over ROS")
    return JointRecord(
        joints=tuple(header[1:]), times_s=rows[:, 0] - rows[0, 0], positions=rows[:, 1:]
    )


def film_joints(
    task_name: str, titled: dict[str, JointRecord], path: Path, *, duration_s: float
) -> None:
    """Film the recordings side by side, in real time; to be called before MuJoCo is imported."""
    choose_renderer()
    import mujoco

    from sim_training.robot.mujoco_robot import MujocoRobot
    from sim_training.robot.robot_camera import RobotCamera

    robot = MujocoRobot(load_task(task_name))
    with ExitStack() as stack:
        film = stack.enter_context(FilmFile(path, FRAMES_HZ))
        cameras = {title: RobotCamera(robot.model, HEIGHT, WIDTH) for title in titled}
        for camera in cameras.values():
            stack.callback(camera.close)

        def panel(title: str, time_s: float) -> NDArray[np.uint8]:
            positions = titled[title].at(time_s)
            for joint, position in positions.items():
                robot.data.qpos[robot.model.joint(joint).qposadr[0]] = position
            mujoco.mj_forward(robot.model, robot.data)
            values = [f"{joint} {position:+.3f}" for joint, position in positions.items()]
            words = "   ".join([f"{time_s:.1f} s", *values])
            return _with_text(cameras[title].picture(robot.data), title, words)

        longest_s = max(float(record.times_s[-1]) for record in titled.values())
        for index in range(round(min(duration_s, longest_s) * FRAMES_HZ)):
            panels = [panel(title, index / FRAMES_HZ) for title in titled]
            film.add(partial(np.concatenate, panels, axis=1))


def _with_text(picture: NDArray[np.uint8], above: str, below: str) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    font, margin = ImageFont.load_default(size=HEIGHT // 20), HEIGHT // 20
    draw = ImageDraw.Draw(image)
    draw.text((margin, margin), above, TEXT_COLOUR, font)
    draw.text((margin, HEIGHT - margin), below, TEXT_COLOUR, font, anchor="ls")
    return np.asarray(image)


def main() -> int:
    """Film as the command line says; return 2 with one line on stderr if that is impossible."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("recordings", nargs="+", metavar="TITLE=CSV")
    options = parser.parse_args()
    try:
        titled = dict(item.rsplit("=", 1) for item in options.recordings)
        records = {title: read_joint_record(Path(path)) for title, path in titled.items()}
        film_joints(options.task, records, options.out, duration_s=options.seconds)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    # OpenGL, its loaders and its drivers fail in as many ways as there are machines without it.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"this machine cannot draw with OpenGL ({reason}); {ADVICE}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
