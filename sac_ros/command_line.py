"""`sac-ros`: one command, whose subcommands are imported only when they are asked for."""

import difflib
import importlib
import io
import os
import sys

from sac_ros.errors import InputError

# Named as text, not imported: a robot without torch or a workstation without ROS runs what it can.
SUBCOMMANDS = {
    "train": ("sim_training.commands.train", "train a policy in simulation"),
    "evaluate": (
        "sim_training.commands.evaluate",
        "measure the returns of a policy in simulation",
    ),
    "film": ("sim_training.commands.film", "film policies side by side"),
    "export": ("sim_training.commands.export", "write policy.onnx from a run's checkpoint"),
    "report": (
        "sim_training.commands.report",
        "make one page with figures of what runs learned",
    ),
    "doctor": ("sac_ros.doctor.command", "look at a robot before a policy moves it"),
    "bag-to-buffer": ("sac_ros.bags.command", "turn recorded runs into a replay buffer"),
    "tune": ("sim_training.commands.tune", "search for hyperparameters, trial by trial"),
    "demo": (
        "sim_training.commands.demo",
        "train, export and run a policy over ROS 2",
    ),
    "demo-finetune": (
        "sim_training.commands.finetune_demo",
        "run a policy on a robot that differs, and learn there, in ten minutes",
    ),
}

INSTALL_ADVICE = {
    "optuna": "pip install 'sac_ros[tune]'",
    "rclpy": "source your ROS 2 installation, or: pip install 'sac_ros[ros]'",
    "torch": "pip install 'sac_ros[sim]'",
    "gymnasium": "pip install 'sac_ros[sim]'",
    "mujoco": "pip install 'sac_ros[sim]'",
    "rosbags": "pip install 'sac_ros[bags]'",
    "mcap": "pip install 'sac_ros[bags]'",
    "imageio_ffmpeg": "pip install 'sac_ros[sim]'",
    "matplotlib": "pip install 'sac_ros[sim]'",
    "tensorboard": "pip install 'sac_ros[sim]'",
}


def main() -> None:
    """Run the subcommand that the command line names, and exit with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a terminal knows no such character, ± is shown as ?, and no training ends over it.
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit status: 2 with one line on stderr for anything a person can correct."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in SUBCOMMANDS:
        close = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"choose from {list(SUBCOMMANDS)}"
        return _refuse(f"unknown subcommand {name!r}; {advice}")
    try:
        status: int = importlib.import_module(SUBCOMMANDS[name][0]).main(rest)
        return status
    except InputError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in INSTALL_ADVICE:
            raise
        return _refuse(f"{name} needs {missing}, which is not installed; {INSTALL_ADVICE[missing]}")
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror or error}{where}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _refuse(reason: str) -> int:
    print(f"sac-ros: {' '.join(reason.split())}", file=sys.stderr)
    return 2


def _usage() -> str:
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: sac-ros SUBCOMMAND [OPTIONS]",
            "",
            "Train a policy in simulation, run it on a robot, keep learning there.",
            "",
            *lines,
            "",
            "sac-ros SUBCOMMAND --help says more.",
        ]
    )
