"""`sac-ros train`: train a policy in simulation, with one seed or several."""

from collections.abc import Sequence

from sim_training.seed_runs.seed_runs import run_seeds
from sim_training.seed_runs.seeds_request import read_seeds_request
from sim_training.terminal.stop_request import StopRequest
from sim_training.training.progress_display import make_display
from sim_training.training.train_options import read_train_options
from sim_training.training.training_loop import train_one


def main(argv: Sequence[str]) -> int:
    """Train as the command line says, one seed or several; return the exit status."""
    options = read_train_options(argv)
    if options.seeds is not None:
        return run_seeds(read_seeds_request(options, options.seeds, argv))
    return train_one(argv, StopRequest(), make_display)
